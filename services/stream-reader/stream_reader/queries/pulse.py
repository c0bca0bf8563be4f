"""A query's health: its lag, when it last finished a read of its source, and whether it fails again and again."""

import json
from collections.abc import Mapping
from typing import Any, Final

from service_kit.clock import Clock

from stream_reader.queries.lag import LagWatch

_QUIET_S: Final = 15.0
"""Longer than the ten seconds at which Spark reports an idle query."""
_LOOK_EVERY_S: Final = 1.0


class Pulse:
    """What a query's owner observes of it. One thread calls the methods that change it."""

    def __init__(self, limit_s: float, settled_s: float, clock: Clock) -> None:
        """``limit_s``: the greatest healthy lag. ``settled_s``: a query that ran this long has recovered."""
        self._limit_s = limit_s
        self._settled_s = settled_s
        self._clock = clock
        self._watch = LagWatch(limit_s, clock)
        self._failures = 0
        self._reason = ""
        self._down_since_s: float | None = None
        self._measured_ms = 0.0
        self.began()

    def began(self) -> None:
        """The query was started."""
        self._began_s = self._came_round_s = self._clock.monotonic()
        self._next_look_s = self._began_s
        self._stamp: object = None
        self._behind_ms = 0.0
        self.looked = False
        self._measured_ms = 0.0

    def down(self) -> None:
        """The query ended by itself, or could not be started: what comes now waits until every shard answers again."""
        if self._down_since_s is None:
            self._down_since_s = self._clock.monotonic() - self._measured_ms / 1000

    def failed(self, reason: str) -> None:
        """The query ended by itself after it had run."""
        self._failures += 1
        self._reason = reason

    @property
    def lag_ms(self) -> float:
        """How late records are; after a failure at least for how long nobody knows what came."""
        since_s = self._down_since_s
        down_s = 0.0 if since_s is None else self._clock.monotonic() - since_s
        return max(self._measured_ms, 1000 * down_s)

    @property
    def settled(self) -> bool:
        """Whether it has run long enough since it was started."""
        return self._clock.monotonic() - self._began_s > self._settled_s

    def look_due(self) -> bool:
        """Whether ``came_round`` wants to know more: asking costs a call to the JVM."""
        return self._clock.monotonic() >= self._next_look_s

    def came_round(self, progress: Mapping[str, Any] | None) -> None:
        """Take in ``lastProgress``: when the query last finished a read of its source, and the lag then."""
        now = self._clock.monotonic()
        self._next_look_s = now + (_LOOK_EVERY_S if self.looked else 0.0)
        if progress is None:
            return
        self.looked = True
        stamp = progress.get("timestamp"), progress.get("batchId")
        if stamp != self._stamp:
            self._stamp, self._came_round_s = stamp, now
            self._behind_ms, all_answer = _behind_ms(progress)
            if all_answer:
                self._down_since_s = None

    def observe(self, batch_lag_ms: float, batch_age_s: float) -> None:
        """Take in the age of the last batch's oldest record where more waits, and for how long a batch is running."""
        silent_s = self._clock.monotonic() - self._came_round_s
        stalled_s = silent_s if silent_s > _QUIET_S else 0.0
        self._measured_ms = max(batch_lag_ms, self._behind_ms, 1000 * batch_age_s, 1000 * stalled_s)
        self._watch.observe(self._measured_ms)
        if self.settled:
            self._failures = 0

    def problem(self) -> str | None:
        """Why a running query is unhealthy; None if it is not."""
        silent_s = self._clock.monotonic() - self._came_round_s
        if silent_s > max(self._limit_s, _QUIET_S):
            return f"hangs: nothing was read and stored for {silent_s:.0f} s; if this stays, restart the stream reader"
        if self._failures > 1:
            return f"runs again after {self._failures} failures, the last one: {self._reason}"
        return self._watch.problem(self._measured_ms)


def _behind_ms(progress: Mapping[str, Any]) -> tuple[float, bool]:
    """The lag that our source reports with its latest offset (0 while it is unknown), and whether all shards answer."""
    found, all_answer = 0.0, False
    for source in progress.get("sources") or ():
        latest = source.get("latestOffset")
        try:
            report = json.loads(latest) if isinstance(latest, str) else latest
        except ValueError:  # Spark writes "None" where there is no report
            continue
        if isinstance(report, Mapping):
            found = max(found, float(report.get("behind_ms") or 0))
            all_answer = report.get("unanswered") == 0
    return found, all_answer
