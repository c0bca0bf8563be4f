"""Keeps the popularity: one thread takes in what was committed, shows the profiles to the API, and stores them.

The API sees a profile as soon as it is computed. The table follows some seconds later, because each of its commits
writes whole files again; what a crash loses of that is committed after the next start.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_contracts.lake import stream_table
from pipeline_contracts.names import KINDS, Names
from service_kit.clock import Clock
from service_kit.ops import NotReadyError
from service_kit.retries import RetryPolicy

from stream_reader.lake.failures import brief
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals, Rows
from stream_reader.popularity.index import Index
from stream_reader.popularity.profiles import Profiles

logger = logging.getLogger(__name__)

_TRY_UNUSABLE_EVERY_S = 300.0


@dataclass(frozen=True)
class Pace:
    """How often. ``mib_per_s`` bounds what commits of the table write again, on average."""

    interval_s: float
    commit_s: float
    mib_per_s: float
    lag_limit_s: float
    idle_wait_s: float = 1.0


class Popularity:
    """The writer. ``run`` is its thread; the rest is safe for any thread."""

    def __init__(
        self,
        profiles: Profiles,
        index: Index,
        *,
        arrivals: Arrivals,
        names: Names,
        pace: Pace,
        metrics: Metrics,
        latencies: Latencies,
        retries: RetryPolicy,
    ) -> None:
        self._profiles = profiles
        self._index = index
        self._arrivals = arrivals
        self._names = names
        self._pace = pace
        self._metrics = metrics
        self._latencies = latencies
        self._retries = retries
        self._clock: Clock = retries.clock
        self._stop = threading.Event()
        self._started = False
        self._uncommitted = False
        self._next_commit = self._next_start = 0.0
        self._working_since: float | None = None
        self._error: str | None = None

    def run(self) -> None:
        """Work until ``stop``. A failure is retried, with waits that grow."""
        waits = self._retries.waits()
        while True:
            try:
                self._step()
            except Exception as error:  # the outermost loop: this thread must not end without a word
                self._error = brief(error)
                wait_s = next(waits)
                # Tables that were lost are looked at anew, and the posts filled from them.
                self._started = self._started and not self._profiles.replaced()
                logger.exception("popularity failed; it is retried", extra={"wait_s": round(wait_s, 2)})
                if self._stop.wait(wait_s):
                    self._clock.sleep(wait_s)  # who asked to stop waits for a while only
            else:
                self._error = None
                waits = self._retries.waits()
                if self._stop.is_set() and not self._uncommitted and self._arrivals.waiting_since() is None:
                    return

    def stop(self) -> None:
        """End as soon as all that was handed over is stored."""
        self._stop.set()
        self._arrivals.wake()

    def check(self) -> str:
        """For ``/readyz``."""
        if self._error is not None:
            raise NotReadyError(self._error)
        if not self._started:
            raise NotReadyError("the profiles are not loaded yet")
        if self._profiles.unusable:
            told = "; ".join(self._profiles.unusable.values())
            raise NotReadyError(f"{len(self._index)} profiles, without what is new in a table: {told}")
        if self.age_s > self._pace.lag_limit_s:
            msg = f"committed rows wait for {self.age_s:.0f} s to be counted (limit {self._pace.lag_limit_s:g} s)"
            raise NotReadyError(msg)
        return f"{len(self._index)} profiles"

    @property
    def age_s(self) -> float:
        """How long the oldest committed row waits to be counted."""
        since = [one for one in (self._working_since, self._arrivals.waiting_since()) if one is not None]
        return self._clock.monotonic() - min(since) if since else 0.0

    def _step(self) -> None:
        if not self._started or (self._profiles.unusable and self._clock.monotonic() >= self._next_start):
            self._start()
        if not self._stop.is_set():
            self._arrivals.wait(self._pace.idle_wait_s)
        due = self._uncommitted and (self._clock.monotonic() >= self._next_commit or self._stop.is_set())
        versions: Mapping[str, int] | None = None
        if self._arrivals.waiting_since() is not None:
            # Versions first: what they hold is then among what is taken.
            versions = self._versions() if due or self._stop.is_set() else None
            self._take_in(self._arrivals.take())
        elif due:
            versions = self._versions()
            due = self._arrivals.waiting_since() is None
        if due and versions is not None:
            self._commit(versions)
        self._publish()
        if not self._stop.is_set():
            self._stop.wait(self._pace.interval_s)

    def _start(self) -> None:
        self._profiles.start()
        self._index.put(self._profiles.all(self._clock.now()))
        self._uncommitted = self._profiles.uncommitted()
        self._started = True
        self._next_start = self._clock.monotonic() + _TRY_UNUSABLE_EVERY_S
        logger.info("profiles are there", extra={"profiles": len(self._index)})

    def _take_in(self, rows: Rows) -> None:
        self._working_since = rows.since
        try:
            with self._metrics.popularity_seconds.time():
                changed = sorted(self._profiles.put(rows))
                self._index.put(self._profiles.of(changed, self._clock.now()))
        except BaseException:
            self._arrivals.put_back(rows)
            raise
        finally:
            self._working_since = None
        if changed and not self._uncommitted:
            self._uncommitted = True
            self._next_commit = max(self._next_commit, self._clock.monotonic() + self._pace.commit_s)
        now_ms = self._clock.now().timestamp() * 1000
        self._latencies.add(now_ms - arrived for arrived in rows.arrived_ms)

    def _commit(self, versions: Mapping[str, int]) -> None:
        with self._metrics.profiles_commit_seconds.time():
            written = self._profiles.commit(self._clock.now(), versions)
        self._uncommitted = False
        rest_s = written / (self._pace.mib_per_s * 1024 * 1024)
        self._next_commit = self._clock.monotonic() + max(self._pace.commit_s, rest_s)

    def _versions(self) -> dict[str, int]:
        """Versions of the stream tables, all of whose rows are handed over."""
        versions = {}
        for kind in KINDS:
            table = stream_table(self._names, kind)
            with self._arrivals.committing(kind):
                version = self._profiles.version(table)
            if version is not None:
                versions[table] = version
        return versions

    def _publish(self) -> None:
        self._metrics.popularity_age.set(self.age_s)
        self._metrics.profiles.set(len(self._index))
