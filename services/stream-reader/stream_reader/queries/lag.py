"""Whether a query falls behind."""

from service_kit.clock import Clock


class LagWatch:
    """Tells a query that catches up, after a pause, from one that cannot keep up."""

    def __init__(self, limit_s: float, clock: Clock) -> None:
        self._limit_ms = limit_s * 1000
        self._window_s = limit_s
        self._clock = clock
        self._mark: tuple[float, float] | None = None
        self._falling = True

    def observe(self, lag_ms: float) -> None:
        """Take in the present lag; call it again and again."""
        now = self._clock.monotonic()
        if lag_ms <= self._limit_ms:
            self._mark, self._falling = None, True
        elif self._mark is None:
            self._mark = (now, lag_ms)
        elif now - self._mark[0] >= self._window_s:
            self._falling = lag_ms < self._mark[1]
            self._mark = (now, lag_ms)

    def problem(self, lag_ms: float) -> str | None:
        """Why the lag is too large: over the limit for as long as the limit, and not falling. None: it is not."""
        if lag_ms <= self._limit_ms or self._falling:
            return None
        return f"{lag_ms / 1000:.0f} s behind, and not catching up (limit {self._limit_ms / 1000:g} s)"
