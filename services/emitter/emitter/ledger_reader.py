"""The ledger as the audit and the summary read it. May be used while a run is writing."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
from pipeline_contracts.names import KINDS, Kind

from emitter.errors import LedgerError
from emitter.ledger import VERSION, told
from emitter.rows import PathName


class Acknowledged(msgspec.Struct, frozen=True):
    """How much of one partition (or shard) of one log is acknowledged, over all runs."""

    path: PathName
    name: str
    log_id: str
    partition: str
    records: int


class Coordinate(msgspec.Struct, frozen=True):
    """One acknowledged coordinate and the content that must stand there."""

    offset: int | str
    content_hash: str


class PathCounts(msgspec.Struct, frozen=True):
    """One path's records of one run."""

    acknowledged: int
    refused: int
    unacknowledged: int


class Problem(msgspec.Struct, frozen=True):
    """A row that was not sent, or a record that was refused."""

    kind: Kind
    position: str
    reason: str
    records: int
    """How many have this reason; ``kind`` and ``position`` are the first one's."""


class LedgerReader:
    """A read-only view. Each call sees what is committed when it begins.

    Raises:
        LedgerError: there is no ledger of this version (yet: one that is just being made counts as none). Each call
            raises it, too, where the file is damaged.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            msg = f"no ledger at {file}: nothing was sent yet, or EMITTER_LEDGER points elsewhere"
            raise LedgerError(msg)
        self._file = file
        self._database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise LedgerError(f"{file} is not a ledger: {error}") from error
        if version != VERSION:
            self._database.close()
            raise LedgerError(f"{file} is a ledger of version {version}, this program reads version {VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def acknowledged(self) -> list[Acknowledged]:
        """Counts per (path, name, log id, partition), sorted."""
        rows = self._execute(
            "SELECT l.path, l.name, l.log_id, a.partition, count(*) FROM acknowledgements a JOIN logs l ON l.id = a.log"
            " GROUP BY a.log, a.partition ORDER BY l.path, l.name, l.log_id, length(a.partition), a.partition"
        )
        return [Acknowledged(*row) for row in rows]

    def coordinates(self, path: PathName, name: str, log_id: str, partition: str) -> Iterator[Coordinate]:
        """Acknowledged coordinates of one partition, rising. One that was acknowledged twice comes twice."""
        rows = self._execute(
            "SELECT a.offset, i.content_hash FROM acknowledgements a JOIN logs l ON l.id = a.log"
            " JOIN intents i ON i.id = a.intent WHERE l.path = ? AND l.name = ? AND l.log_id = ? AND a.partition = ?"
            " ORDER BY a.offset",
            (path, name, log_id, partition),
        )
        return (Coordinate(*row) for row in rows)

    def events(self, run: int) -> dict[Kind, int]:
        """Acknowledged events of one run per kind of topic; one that went down both paths counts once."""
        counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        rows = self._execute(
            "SELECT kind, max(n) FROM (SELECT i.path, i.kind, count(*) AS n FROM intents i"
            " JOIN acknowledgements a ON a.intent = i.id WHERE i.run = ? GROUP BY i.path, i.kind) GROUP BY kind",
            (run,),
        )
        counts.update(dict(rows))
        return counts

    def paths(self, run: int) -> dict[PathName, PathCounts]:
        """What became of one run's records, per path."""
        rows = self._execute(
            "SELECT i.path, count(a.intent), count(r.intent), count(p.intent) FROM intents i"
            " LEFT JOIN acknowledgements a ON a.intent = i.id LEFT JOIN refused r ON r.intent = i.id"
            " LEFT JOIN pending p ON p.intent = i.id WHERE i.run = ? GROUP BY i.path ORDER BY i.path",
            (run,),
        )
        return {path: PathCounts(*counts) for path, *counts in rows}

    def figures(self, run: int) -> tuple[int, float]:
        """Records sent again, and seconds, over all processes of one run."""
        [(retried, seconds)] = self._execute("SELECT retried, seconds FROM runs WHERE id = ?", (run,))
        return retried, seconds

    def rejected(self, run: int) -> list[Problem]:
        """Rows of one run that were not sent, by reason."""
        rows = self._execute(
            "SELECT kind, position, reason, count(*), min(id) FROM rejected WHERE run = ? GROUP BY reason ORDER BY 5",
            (run,),
        )
        return [Problem(*row[:4]) for row in rows]

    def refused(self, run: int) -> list[Problem]:
        """Records of one run that the other side refused, by reason."""
        rows = self._execute(
            "SELECT i.kind, i.position, r.reason, count(*), min(i.id) FROM refused r JOIN intents i ON i.id = r.intent"
            " WHERE i.run = ? GROUP BY r.reason ORDER BY 5",
            (run,),
        )
        return [Problem(*row[:4]) for row in rows]

    def _execute(self, query: str, values: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        with told(self._file, "read"):
            yield from self._database.execute(query, values)
