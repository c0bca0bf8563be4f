"""When to do a repeated thing again: at an interval while it works, after growing waits while it does not."""

from collections.abc import Iterator

from service_kit.retries import RetryPolicy

# A thing that takes long is done more seldom, so that it takes up at most this share of the time.
_LARGEST_SHARE = 0.05


class Schedule:
    """Due at once, then as the caller reports how it went."""

    def __init__(self, interval_s: float, retries: RetryPolicy) -> None:
        self._interval_s = interval_s
        self._retries = retries
        self._waits: Iterator[float] | None = None
        self._next = float("-inf")
        self._began = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return self._retries.clock.monotonic() >= self._next

    @property
    def failing(self) -> bool:
        """Whether the last time went wrong and the wait after it is not over."""
        return self._waits is not None and not self.due

    def begin(self) -> None:
        """It starts now."""
        self._began = self._retries.clock.monotonic()

    def succeeded(self) -> None:
        """It worked: again after the interval, or later if it took long."""
        now = self._retries.clock.monotonic()
        self._waits = None
        self._next = now + max(self._interval_s, (now - self._began) / _LARGEST_SHARE)

    def failed(self) -> None:
        """It did not work: again after a wait that grows."""
        self._waits = self._waits or self._retries.waits()
        self._next = self._retries.clock.monotonic() + next(self._waits, self._retries.longest_wait_s)

    def hasten(self) -> None:
        """Something happened that makes it due now, unless it is failing."""
        if self._waits is None:
            self._next = float("-inf")
