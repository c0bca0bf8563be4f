"""What was committed to the stream tables and does not show in the popularity yet."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline_contracts.names import KINDS, Kind


@dataclass
class Touched:
    """What must be computed again: the profiles of these posts and these posters, or ``everything``.

    ``arrived_ms`` are the times of arrival of the records behind it; ``since`` is when the first was handed over.
    """

    inds: set[int] = field(default_factory=set)
    posters: set[str] = field(default_factory=set)
    everything: bool = False
    arrived_ms: list[float] = field(default_factory=list)
    since: float | None = None

    def __bool__(self) -> bool:
        return bool(self.inds or self.posters or self.everything)

    def add(self, other: "Touched", limit: int) -> None:
        """Take in another; above ``limit`` posts or posters, everything is computed again instead."""
        self.inds |= other.inds
        self.posters |= other.posters
        self.everything = self.everything or other.everything or len(self.inds) + len(self.posters) > limit
        self.arrived_ms += other.arrived_ms[: max(0, limit - len(self.arrived_ms))]
        since = [one for one in (self.since, other.since) if one is not None]
        self.since = min(since) if since else None
        if self.everything:
            self.inds, self.posters = set(), set()


class Arrivals:
    """Between the queries, which commit, and the one writer of the popularity.

    Each table has a lock: a commit and its handing over are one step under it, so that who holds it and reads the
    table's version knows that all up to that version was handed over.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._locks = {kind: threading.Lock() for kind in KINDS}
        self._waiting = Touched()
        self._lock = threading.Lock()
        self._news = threading.Event()

    def committing(self, kind: Kind) -> threading.Lock:
        """The lock of a kind's table."""
        return self._locks[kind]

    def add(self, inds: Iterable[int], posters: Iterable[str], arrived_ms: Iterable[float], now: float) -> None:
        """Hand over what a commit touched; ``now`` is the monotonic clock's."""
        touched = Touched(set(inds), set(posters), arrived_ms=list(arrived_ms), since=now)
        self.put_back(touched)

    def put_back(self, touched: Touched) -> None:
        """Hand over again what could not be computed."""
        with self._lock:
            self._waiting.add(touched, self.limit)
        self._news.set()

    def take(self) -> Touched:
        """All that waits."""
        with self._lock:
            taken, self._waiting = self._waiting, Touched()
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
