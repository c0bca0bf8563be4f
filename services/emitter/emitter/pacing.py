"""How fast rows are taken: so many a second, or as fast as they are accepted."""

from collections.abc import Callable

from service_kit.clock import Clock

_BURST_S = 1.0
LINGER_S = 0.5
"""Rows go in groups, of so much time at most: a request for each row would cost more than the rows."""


class Pacer:
    """Hands out permissions, evenly in time. What was not used within a second is forgotten, not caught up with."""

    def __init__(self, per_second: float | None, clock: Clock, pause: Callable[[float], bool]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._pause = pause
        self._last = clock.monotonic()
        self._tokens = 1.0

    def take(self, most: int) -> int:
        """From 1 to ``most`` permissions, blocking while there is none, and then for a group; 0 when asked to stop."""
        if self._per_second is None:
            return most
        while True:
            now = self._clock.monotonic()
            self._tokens = min(
                self._tokens + (now - self._last) * self._per_second, max(1.0, _BURST_S * self._per_second)
            )
            self._last = now
            # A token short by rounding is a token: else the wait for the rest of it would be no time at all.
            if self._tokens >= 1 - 1e-9:
                taken = min(most, max(1, int(self._tokens)))
                self._tokens -= taken
                return taken
            group_s = min(LINGER_S, most / self._per_second)
            if self._pause(max((1 - self._tokens) / self._per_second, group_s)):
                return 0
