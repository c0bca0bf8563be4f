"""One running installation for the tests of the `pipeline` command."""

from collections.abc import Iterator

import pytest
from stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Started once per file; tests run in the file's order and see what those before them sent."""
    with Stack(tmp_path_factory.mktemp("stack") / "state") as running:
        yield running
