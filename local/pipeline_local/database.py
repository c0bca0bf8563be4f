"""The only place that opens DuckDB: bounded memory, and a folder on disk for what does not fit into it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import duckdb

MEMORY = "512MiB"
"""Not DuckDB's own choice, which is 80 % of what it sees and leaves too little for Python's and Arrow's share."""

THREADS: Final = 2
"""Each takes buffers of its own: with one per core of a large machine the memory would be used up by these."""

_ALONE: Final = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
}
"""It takes nothing from the network, and leaves nothing in the home folder."""


@contextmanager
def opened(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database in memory, in UTC, which spills into a folder of its own below ``scratch``.

    The folder is gone at the end. One that a killed process left is deleted by the next that finds nobody at work.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {"memory_limit": MEMORY, "threads": THREADS}
    with (
        _shared(scratch),
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        duckdb.connect(config=settings | _ALONE | {"temp_directory": folder}) as connection,
    ):
        connection.execute("set timezone = 'UTC'")
        yield connection


def lock_up(connection: duckdb.DuckDBPyConnection) -> None:
    """For SQL of others: from now on it reads what is registered, and no file, address or variable of this process.

    What does not fit into memory still goes to the folder on disk. No setting can be changed any more.
    """
    for setting in (
        "enable_external_access = false",
        "python_enable_replacements = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")


@contextmanager
def _shared(scratch: Path) -> Iterator[None]:
    """Keep others from emptying ``scratch``; empty it first, where nobody else is in it."""
    scratch.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in scratch.iterdir():
                shutil.rmtree(left)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
