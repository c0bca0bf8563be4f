"""What the tables and the file of posts may raise, and how it is told in one line."""

import sqlite3
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

FAILURES: Final = (DeltaError, OSError, sqlite3.Error, pa.ArrowException)
_CHARACTERS: Final = 500


def brief(error: BaseException) -> str:
    """The first line of its message, or its name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:_CHARACTERS] if lines else type(error).__name__
