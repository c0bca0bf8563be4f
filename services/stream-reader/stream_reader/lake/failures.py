"""What the tables and the file of posts may raise, and how it is told in one line."""

import sqlite3
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError


class TableError(Exception):
    """A table cannot be used, and how a person goes on from there."""

    def __init__(self, table: str, error: BaseException) -> None:
        self.table = table
        super().__init__(
            f"the table {table} cannot be used: {brief(error)} (if it is damaged, put its folder back from a copy; or "
            "move it away, and it is recreated from what the stream still holds)"
        )


UNREADABLE: Final = (DeltaError, OSError, pa.ArrowException)
"""What reading a table raises."""
FAILURES: Final = (*UNREADABLE, TableError, sqlite3.Error)
_CHARACTERS: Final = 500


def brief(error: BaseException) -> str:
    """The first line of its message, or its name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:_CHARACTERS] if lines else type(error).__name__
