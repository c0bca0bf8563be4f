"""What was committed to the stream tables and does not show in the popularity yet."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
from pipeline_contracts.names import KINDS, Kind

_TIMES: Final = 100_000


@dataclass
class Rows:
    """Rows of commits (``decode.facts``), in their order.

    ``arrived_ms`` are the times of arrival of the records that are new; ``since`` is when the first was handed over.
    ``incomplete`` says that there were more than the limit: what is missing stands in the tables.
    """

    tables: list[tuple[Kind, pa.Table]] = field(default_factory=list)
    arrived_ms: list[float] = field(default_factory=list)
    since: float | None = None
    incomplete: bool = False

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(table.nbytes for _, table in self.tables)

    def add(self, other: "Rows", limit: int) -> None:
        """Take in another behind this; above ``limit`` bytes, no rows are kept."""
        self.tables += other.tables
        self.arrived_ms += other.arrived_ms[: max(0, _TIMES - len(self.arrived_ms))]
        since = [one for one in (self.since, other.since) if one is not None]
        self.since = min(since) if since else None
        self.incomplete = self.incomplete or other.incomplete or self.size > limit
        if self.incomplete:
            self.tables = []


class Arrivals:
    """Between the queries, which commit, and the one writer of the popularity.

    Each table has a lock: a commit and its handing over are one step under it, so that who holds it and reads the
    table's version knows that all up to that version was handed over.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._locks = {kind: threading.Lock() for kind in KINDS}
        self._waiting = Rows()
        self._lock = threading.Lock()
        self._news = threading.Event()

    def committing(self, kind: Kind) -> threading.Lock:
        """The lock of a kind's table."""
        return self._locks[kind]

    def add(self, kind: Kind, rows: pa.Table, arrived_ms: Iterable[float], now: float) -> None:
        """Hand over what a commit holds; ``now`` is the monotonic clock's."""
        with self._lock:
            self._waiting.add(Rows([(kind, rows)], list(arrived_ms), now), self.limit)
        self._news.set()

    def put_back(self, rows: Rows) -> None:
        """Hand over again what could not be taken in."""
        with self._lock:
            rows.add(self._waiting, self.limit)
            self._waiting = rows
        self._news.set()

    def take(self) -> Rows:
        """All that waits."""
        with self._lock:
            taken, self._waiting = self._waiting, Rows()
            self._news.clear()
        return taken

    def waiting_since(self) -> float | None:
        """When the oldest of what waits was handed over."""
        with self._lock:
            return self._waiting.since

    def wait(self, seconds: float) -> bool:
        """Sleep until something waits or the time is over; says which."""
        return self._news.wait(seconds)

    def wake(self) -> None:
        """End a wait."""
        self._news.set()
