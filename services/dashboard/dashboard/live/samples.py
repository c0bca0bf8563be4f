"""Numbers of the last minutes: rates, and whether a lag grows. Safe to use from any thread."""

import threading
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Literal

KEPT_S: Final = 300.0
_KEPT: Final = 320
BUCKETS: Final = 60
"""Of ``history``."""
RATE_S: Final = 10.0
GROWTH_S: Final = 60.0
_GAP_S: Final = 60.0
"""Two samples further apart say nothing of now."""

Trend = Literal["grows", "shrinks", "steady", ""]
"""Empty: not known yet."""


class Samples:
    """What was read, with when by a clock that never goes back; bounded in time and number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=_KEPT)

    def add(self, at: float, numbers: Mapping[str, float]) -> None:
        """One more; ``at`` in seconds, later than all before."""
        with self._lock:
            self._kept.append((at, numbers))
            while at - self._kept[0][0] > KEPT_S:
                self._kept.popleft()

    def rate(self, name: str, now: float) -> float | None:
        """Per second, over the last ten seconds or the last two samples; None where that is not known.

        A counter that steps back was begun again at 0: what it has now has come since.
        """
        series = self._series(name)
        if len(series) < 2 or now - series[-1][0] > _GAP_S:
            return None
        recent = [series[-1]]
        for older in reversed(series[:-1]):
            if recent[-1][0] - older[0] > _GAP_S:
                break
            recent.append(older)
            if series[-1][0] - older[0] >= RATE_S:
                break
        recent.reverse()
        seconds = recent[-1][0] - recent[0][0]
        if seconds <= 0:
            return None
        pairs = pairwise(recent)
        steps = (new - old if new >= old else new for (_, old), (_, new) in pairs)
        return max(sum(steps), 0.0) / seconds

    def history(self, name: str, now: float) -> list[float | None]:
        """Rates of the last five minutes, the oldest first, one for each five seconds; None where it is not known."""
        series = self._series(name)
        steps = [(old, new) for old, new in pairwise(series) if 0 < new[0] - old[0] <= _GAP_S]
        rates: list[float | None] = []
        at = 0
        for bucket in range(BUCKETS):
            middle = now - KEPT_S + (bucket + 0.5) * KEPT_S / BUCKETS
            while at < len(steps) and steps[at][1][0] < middle:
                at += 1
            if at == len(steps) or steps[at][0][0] > middle:
                rates.append(None)
                continue
            (began, old), (ended, new) = steps[at]
            rates.append((new - old if new >= old else new) / (ended - began))
        return rates

    def trend(self, name: str, now: float, least: float) -> Trend:
        """Whether a gauge grows: the mean of the last third of a minute beside that of its first third.

        Less than ``least``, or less than a tenth of the greater one, is no change.
        """
        series = [(at, value) for at, value in self._series(name) if now - at <= GROWTH_S]
        third = GROWTH_S / 3
        before = [value for at, value in series if now - at >= 2 * third]
        lately = [value for at, value in series if now - at <= third]
        if not before or not lately:
            return ""
        old, new = sum(before) / len(before), sum(lately) / len(lately)
        if abs(new - old) < max(least, 0.1 * max(abs(old), abs(new))):
            return "steady"
        return "grows" if new > old else "shrinks"

    def _series(self, name: str) -> list[tuple[float, float]]:
        with self._lock:
            return [(at, numbers[name]) for at, numbers in self._kept if name in numbers]
