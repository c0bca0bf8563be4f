"""The files that take minutes begin first, so that the two processes of a run end at about the same time."""

import pytest

LONGEST = ("test_analyser.py", "test_stream_reader.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
