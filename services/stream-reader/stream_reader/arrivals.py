"""What was taken in and does not show in the popularity yet."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_KEPT_TIMES: Final = 100_000


@dataclass
class Touched:
    """Profiles to compute again.

    ``arrived_ms`` are the times of arrival of the records behind it; ``since`` is when the first was handed over.
    """

    posters: set[str] = field(default_factory=set)
    arrived_ms: list[float] = field(default_factory=list)
    since: float | None = None

    def add(self, other: "Touched") -> None:
        """Take in another; of very many times of arrival only the first are kept."""
        self.posters |= other.posters
        self.arrived_ms += other.arrived_ms[: max(0, _KEPT_TIMES - len(self.arrived_ms))]
        since = [one for one in (self.since, other.since) if one is not None]
        self.since = min(since) if since else None


class Arrivals:
    """Between the queries and the popularity. Safe to use from any thread."""

    def __init__(self) -> None:
        self._waiting = Touched()
        self._lock = threading.Lock()
        self._news = threading.Event()

    def add(self, posters: Iterable[str], arrived_ms: Iterable[float], now: float) -> None:
        """Hand over what a commit touched; ``now`` is the monotonic clock's."""
        self.put_back(Touched(set(posters), list(arrived_ms), now))

    def put_back(self, touched: Touched) -> None:
        """Hand over again what could not be computed."""
        with self._lock:
            self._waiting.add(touched)
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
