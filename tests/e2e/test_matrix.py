"""Posted here, must appear there, for each kind of event and path: the rows that `tests/docker` runs on containers."""

from pathlib import Path

import pytest
from matrix import MATRIX, appears
from pipeline_contracts.names import Kind
from posts import write_generated
from stack import Stack


@pytest.fixture(scope="module")
def posts(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that went down both paths and were analysed."""
    folder = write_generated(tmp_path_factory.mktemp("posts"), 900, seed=21)
    stack.pipeline("send", "--source", str(folder), "--path", "both")
    stack.pipeline("analyse")
    return folder


@pytest.mark.parametrize(("kind", "path"), MATRIX)
def test_what_was_posted_appears(kind: Kind, path: str, stack: Stack, posts: Path) -> None:
    appears(stack, posts, kind, path)
