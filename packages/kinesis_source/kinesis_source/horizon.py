"""What Kinesis may have dropped: retention, which people change, and whether an unread record can have expired."""

import threading
from collections.abc import Callable

from service_kit.clock import Clock

MIN_RETENTION_MS = 24 * 3_600_000
"""Kinesis keeps every record for a day, whatever anybody sets."""
START_GRACE_MS = 3_600_000
"""Records that expire this soon after the start of a query at the oldest record are not reported as lost."""

CLOCK_MARGIN_MS = 60_000
"""How much this machine's clock and Kinesis' may differ before a loss can go undetected."""


class Retention:
    """The present retention, and the shortest one in force while any unread record was stored. Thread-safe.

    Raising retention brings nothing back. So the shorter one counts until it is known that nothing has expired by it.
    """

    def __init__(self, describe_ms: Callable[[], int], clock: Clock, now_ms: int) -> None:
        """``describe_ms`` asks for it; ``now_ms`` is what it said just now."""
        self._describe_ms, self._clock = describe_ms, clock
        self._current_ms = self._shortest_ms = now_ms
        self._asked_s = clock.monotonic()
        self._lock = threading.Lock()

    def shortest_ms(self, max_age_s: float) -> int:
        """The shortest one, by an answer no older than that; else asks Kinesis, and raises what that raises."""
        with self._lock:
            now_s = self._clock.monotonic()
            if now_s - self._asked_s > max_age_s:
                self._current_ms = self._describe_ms()
                self._asked_s = now_s
                self._shortest_ms = min(self._shortest_ms, self._current_ms)
            return self._shortest_ms

    def keep(self, kept_ms: int | None) -> None:
        """The checkpoint says that it was no longer than this."""
        with self._lock:
            if kept_ms is not None:
                self._shortest_ms = min(self._shortest_ms, kept_ms)

    def settle(self, oldest_ms: int | None, now_ms: int) -> int:
        """The shortest one, from now on, where every unread record arrived at ``oldest_ms`` or later (None: unknown).

        If nothing of that can have expired yet, a shorter retention of the past does not count any more.
        """
        with self._lock:
            if oldest_ms is not None and _age_ms(now_ms, oldest_ms) < self._shortest_ms:
                self._shortest_ms = self._current_ms
            return self._shortest_ms


def may_be_lost(now_ms: int, since_ms: int, retention_ms: Callable[[], int], gone_ms: int | None = None) -> bool:
    """Whether a record that arrived at ``since_ms`` or later may have expired.

    ``gone_ms``: when a record arrived that has expired. If that cannot be by any retention that is known, retention was
    shorter for a while, without a witness. Raises what ``retention_ms`` raises.
    """
    if is_safe(now_ms, since_ms):
        return False
    kept_ms = retention_ms()
    return _age_ms(now_ms, since_ms) >= kept_ms or (gone_ms is not None and _age_ms(now_ms, gone_ms) < kept_ms)


def is_safe(now_ms: int, since_ms: int) -> bool:
    """Whether nothing that arrived at ``since_ms`` or later can have expired by any retention."""
    return _age_ms(now_ms, since_ms) < MIN_RETENTION_MS


def _age_ms(now_ms: int, since_ms: int) -> int:
    return now_ms - since_ms + CLOCK_MARGIN_MS
