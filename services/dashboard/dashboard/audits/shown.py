"""An audit as tables: fates by log and partition with their sums, and every range that is not as it should be."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pipeline_contracts.audits import TROUBLES, AuditRow, PathName, StoredAudit

MOST_ROWS: Final = 200
"""How many partitions a page shows of one path."""
MOST_RANGES: Final = 200
"""How many ranges a page names."""

MISSING: Final = "missing"
COLUMNS: Final = (
    *("in_log", MISSING, "expired", "in_flight", "current", "superseded", "repeated", "quarantined", "dead_lettered"),
    *("acknowledged", "unacknowledged", "in_objects", "in_bronze"),
)
"""The sum and its parts, what is bad first; then the stages."""
NOT_OF_STREAMS: Final = {"in_objects", "in_bronze", "dead_lettered"}
BAD: Final = {MISSING, "expired"}
"""Columns that should hold nothing."""
MEANS: Final = {
    "in_log": "all that the topic or stream has stored",
    "missing": "nobody knows where it is: a loss",
    "expired": "gone from the log before it was archived: a loss",
    "in_flight": "not at its end yet",
    "current": "the version that counts",
    "superseded": "a later version of the post counts",
    "repeated": "a later occurrence of the same content",
    "quarantined": "stored, refused by the cleaner: see Records",
    "dead_lettered": "could not be archived: see Records",
    "acknowledged": "the sender was told that it is stored",
    "unacknowledged": "stored, and unknown to the ledger",
    "in_objects": "in an object of the sink",
    "in_bronze": "ingested into the lake",
}
TROUBLE_MEANS: Final = {
    "missing": "no stage has them",
    "doubled": "they count twice",
    "altered": "they hold something other than what was sent",
    "lost": "expired before they were archived",
    "cut": "the log was cut short before them and uses these offsets again: delete the topic, which is recreated with "
    "a new log",
}


@dataclass(frozen=True)
class Line:
    """One partition or shard, or the sum of all. ``log``: topic or stream; ``of`` tells logs of one name apart."""

    log: str
    of: str
    partition: str
    counts: tuple[int, ...]
    wrong: bool


@dataclass(frozen=True)
class Fates:
    """The table of one path: ``columns`` are the names of ``counts``; ``left_out`` partitions are in the sum alone."""

    path: PathName
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    total: Line
    left_out: int


@dataclass(frozen=True)
class Trouble:
    """A range of offsets that is not as it should be; of streams, of sequence numbers."""

    what: str
    log: str
    partition: str
    first: str
    last: str
    records: int | None
    """None where sequence numbers do not tell."""


def fates(audit: StoredAudit, path: PathName) -> Fates:
    """The rows of one path, those that are wrong first where not all can be shown."""
    rows = [row for row in audit.rows if row.path == path]
    columns = tuple(name for name in COLUMNS if path == "batch" or name not in NOT_OF_STREAMS)
    logs = Counter(name for name, _ in {(row.name, row.log_id) for row in rows})
    shown = rows if len(rows) <= MOST_ROWS else sorted(rows, key=lambda row: not row.is_wrong)[:MOST_ROWS]
    lines = [
        Line(
            row.name,
            _short(row.log_id) if logs[row.name] > 1 else "",
            str(row.partition),
            _counts(row, columns),
            row.is_wrong,
        )
        for row in shown
    ]
    sums = [_counts(row, columns) for row in rows]
    total = tuple(sum(column) for column in zip(*sums, strict=True)) if sums else (0,) * len(columns)
    wrong = any(row.is_wrong for row in rows)
    return Fates(path, columns, tuple(lines), Line("all", "", "", total, wrong), len(rows) - len(shown))


def troubles(audit: StoredAudit, path: PathName) -> tuple[list[Trouble], int]:
    """The first ranges of one path, and how many more there are in the file."""
    found = [
        Trouble(what, row.name, str(row.partition), str(one[0]), str(one[-1]), _size(one))
        for row in audit.rows
        if row.path == path
        for what in TROUBLES
        for one in getattr(row, what)
        if one
    ]
    return found[:MOST_RANGES], max(0, len(found) - MOST_RANGES)


def _size(ends: Sequence[int | str]) -> int | None:
    first, last = ends[0], ends[-1]
    return last - first + 1 if isinstance(first, int) and isinstance(last, int) else None


def _counts(row: AuditRow, columns: Sequence[str]) -> tuple[int, ...]:
    return tuple(row.missing_records if name == MISSING else getattr(row, name) or 0 for name in columns)


def _short(log_id: str) -> str:
    """What tells two logs of one name apart: of a stream, when it was made."""
    _, at, created_ms = log_id.rpartition("@")
    if not at or not created_ms.isdecimal() or len(created_ms) > 14:
        return log_id[:40]
    return f"of {datetime.fromtimestamp(int(created_ms) / 1000, UTC):%Y-%m-%d %H:%M:%S}"
