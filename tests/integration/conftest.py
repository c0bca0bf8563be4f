"""How two processes share this folder: the files that take minutes begin first, so that both end about together."""

from collections import Counter

import pytest

LONGEST = ("test_analyser.py", "test_stream_reader.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files.

    Raises:
        pytest.UsageError: two tests have one name; only one of them would be run.
    """
    if twice := [name for name, times in Counter(item.nodeid for item in items).items() if times > 1]:
        raise pytest.UsageError(f"more than one test of one name: {', '.join(twice)}")
    items.sort(key=lambda item: item.path.name not in LONGEST)
