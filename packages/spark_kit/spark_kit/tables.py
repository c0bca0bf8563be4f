"""What Delta tables tell and are asked: commits, rows written, the size of a version, conditions on rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal


@dataclass(frozen=True)
class Commit:
    """One version of a table. Operation and metrics are Delta's own, as text; ``at`` is in UTC."""

    version: int
    at: datetime
    operation: str
    metrics: Mapping[str, str]
    note: str | None

    def metric(self, name: str) -> int:
        """One counter; 0 where Delta did not count it."""
        return int(self.metrics.get(name, "0"))


@dataclass(frozen=True)
class Written:
    """The version that a commit made, and the rows in it."""

    version: int
    rows: int


type Condition = tuple[str, Literal["=", ">", "<="], str | int]
"""Column, operator, value; of several, all hold."""


@dataclass(frozen=True)
class Size:
    """The data files of a version, by its log."""

    files: int
    bytes: int


def in_utc(milliseconds: int) -> datetime:
    """A point in time of Delta's log."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
