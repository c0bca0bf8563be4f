"""Time is an argument."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What logic may know of time."""

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    def sleep(self, seconds: float) -> None:
        """Block for at least this long."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block for at least this long."""
        time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to, or when somebody sleeps on it. For tests."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._moved_s = 0.0

    def now(self) -> datetime:
        """The start plus all sleeping."""
        return datetime.fromtimestamp(self._start.timestamp() + self._moved_s, UTC)

    def monotonic(self) -> float:
        """Seconds slept so far."""
        return self._moved_s

    def sleep(self, seconds: float) -> None:
        """Move the clock; does not block."""
        self._moved_s += seconds
