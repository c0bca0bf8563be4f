"""How long records took, exactly: the last ones, for percentiles."""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import Histogram

KEPT: Final = 20_000


class Latencies:
    """Milliseconds from a record's arrival in its stream to one stage. Safe to use from any thread."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._last: deque[float] = deque(maxlen=KEPT)
        self._count = 0
        self._lock = threading.Lock()

    def add(self, values_ms: Iterable[float]) -> None:
        """Take in records that have just reached the stage."""
        values = list(values_ms)
        for value in values:
            self._histogram.observe(value / 1000)
        with self._lock:
            self._count += len(values)
            self._last.extend(values)

    def described(self) -> dict[str, Any]:
        """How many since the start, and percentiles of the last ``KEPT``; None where there was none."""
        with self._lock:
            count, values = self._count, sorted(self._last)
        return {"count": count, "p50_ms": _percentile(values, 0.50), "p95_ms": _percentile(values, 0.95)}


def _percentile(values: list[float], share: float) -> float | None:
    """The nearest rank: the smallest value that at least this share of all does not exceed."""
    if not values:
        return None
    return round(values[max(0, -int(-share * len(values) // 1) - 1)], 1)
