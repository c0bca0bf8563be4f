"""What all questions about records share: missing tables are empty, the deadline is one, rows are bounded."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dashboard.lake.reader import At, LakeReader, MissingTableError
from dashboard.lake.sql import literal

DEADLINE_S: Final = 5.0
"""For one query; all of a question's take some tenths of a second together."""

type Row = Mapping[str, Any]


class Asking:
    """Queries over tables that may not be there yet. Blocks while they are read.

    Raises:
        LakeError: from every method: a table is there and cannot be read, or not in time.
    """

    def __init__(self, reader: LakeReader) -> None:
        self.reader = reader

    def rows(self, sql: str, most: int, **tables: str | At) -> list[Row]:
        """At most ``most`` rows; none where a table is not there (yet)."""
        at = {view: At(table) if isinstance(table, str) else table for view, table in tables.items()}
        try:
            return list(self.reader.rows(sql, at, most=most, deadline_s=DEADLINE_S))
        except MissingTableError:
            return []


def listed(values: Iterable[str] | Iterable[int]) -> str:
    """Values as they stand between the parentheses of ``IN``; there must be one."""
    return ", ".join(sorted({literal(value) for value in values}))
