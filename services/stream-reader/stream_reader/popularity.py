"""Keeps the popularity: one thread computes what commits have touched, shows it to the API, and stores it.

The API sees a profile as soon as it is computed. The table follows some seconds later, because each of its commits
writes whole files again. What it does not show yet is marked in ``posts``, and shown after a crash, too.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from service_kit.clock import Clock
from service_kit.ops import NotReadyError
from service_kit.retries import RetryPolicy
from spark_kit.session import session_alive

from stream_reader.arrivals import Arrivals, Touched
from stream_reader.index import Index
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.posts import Posts
from stream_reader.profile_table import Note, ProfileTable
from stream_reader.score import Profile, profile_of

logger = logging.getLogger(__name__)

FAILURES = (PySparkException, Py4JError, sqlite3.Error)
_ALL_AT_ONCE = 1_000


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
        posts: Posts,
        table: ProfileTable,
        index: Index,
        *,
        arrivals: Arrivals,
        catch_up: Callable[[], bool],
        pace: Pace,
        metrics: Metrics,
        latencies: Latencies,
        retries: RetryPolicy,
    ) -> None:
        self._posts = posts
        self._table = table
        self._index = index
        self._arrivals = arrivals
        self._catch_up = catch_up
        self._pace = pace
        self._metrics = metrics
        self._latencies = latencies
        self._retries = retries
        self._clock: Clock = retries.clock
        self._stop = threading.Event()
        self._pending: dict[str, tuple[Profile, int]] = {}
        self._next_commit = 0.0
        self._working_since: float | None = None
        self._anew = False
        self._loaded = False
        self._error: str | None = None
        self.caught_up = threading.Event()
        """Set once the posts are those of the tables; the queries wait for it."""
        self.committing = threading.Lock()
        """Held while the table is written; upkeep takes it, too."""

    def run(self) -> None:
        """Work until ``stop``, or until the JVM is gone. A failure is tried again, with waits that grow."""
        waits = self._retries.waits()
        while session_alive():
            try:
                self.step()
            except FAILURES as error:
                if not session_alive():
                    return
                self._error = str(error).strip().splitlines()[0][:500] if str(error) else type(error).__name__
                wait_s = next(waits)
                logger.exception("popularity failed; it is tried again", extra={"wait_s": round(wait_s, 2)})
                if self._stop.wait(wait_s):
                    self._clock.sleep(wait_s)  # who asked to stop waits for a while only
            else:
                self._error = None
                waits = self._retries.waits()
                if self._stop.is_set() and not self._pending and self._arrivals.waiting_since() is None:
                    return

    def stop(self) -> None:
        """End as soon as all that was handed over is stored."""
        self._stop.set()
        self._arrivals.wake()

    def check(self) -> str:
        """For ``/readyz``."""
        if self._error is not None:
            raise NotReadyError(self._error)
        if not self._loaded:
            raise NotReadyError("the profiles are not loaded yet")
        if self.age_s > self._pace.lag_limit_s:
            msg = f"committed rows wait for {self.age_s:.0f} s to be counted (limit {self._pace.lag_limit_s:g} s)"
            raise NotReadyError(msg)
        return f"{len(self._index)} profiles"

    @property
    def age_s(self) -> float:
        """How long the oldest committed row waits to be counted."""
        since = [one for one in (self._working_since, self._arrivals.waiting_since()) if one is not None]
        return self._clock.monotonic() - min(since) if since else 0.0

    def step(self) -> None:
        """Compute what waits, and store what is due; blocks until something waits, for a second at most."""
        if not self._loaded:
            self._load()
        if not self._stop.is_set():
            self._arrivals.wait(self._pace.idle_wait_s)
        if self._arrivals.waiting_since() is not None:
            self._compute(self._arrivals.take())
        if self._pending and (self._clock.monotonic() >= self._next_commit or self._stop.is_set()):
            self._commit()
        self._metrics.popularity_age.set(self.age_s)
        self._metrics.profiles.set(len(self._index))
        if not self._stop.is_set():
            self._stop.wait(self._pace.interval_s)

    def _load(self) -> None:
        if not self.caught_up.is_set():
            self._anew = self._catch_up() or self._anew
            self.caught_up.set()
        note = self._table.note()
        shown = note is not None and note.commit >= self._posts.commits()
        if self._anew or not shown or note.half_life_s != self._index.half_life_s:
            self._rebuild()
        else:
            self._index.put(self._table.load())
            if dirty := self._posts.dirty():
                self._arrivals.put_back(Touched(dirty, since=self._clock.monotonic()))
        self._loaded = True
        logger.info("profiles are loaded", extra={"profiles": len(self._index)})

    def _rebuild(self) -> None:
        """All profiles, where the table is not known to show what it should."""
        names = self._posts.posters()
        logger.info("all profiles are computed", extra={"profiles": len(names)})
        every: dict[str, tuple[Profile, int]] = {}
        for first in range(0, len(names), _ALL_AT_ONCE):
            every |= self._computed(set(names[first : first + _ALL_AT_ONCE]))
        profiles = [profile for profile, _ in every.values()]
        with self.committing:
            note = self._next_note()
            self._table.replace(profiles, note)
        self._posts.committed(note.commit, {name: change for name, (_, change) in every.items()})
        self._index.replace(profiles)
        self._anew = False

    def _compute(self, touched: Touched) -> None:
        self._working_since = touched.since
        try:
            with self._metrics.popularity_seconds.time():
                computed = self._computed(touched.posters)
                self._index.put(profile for profile, _ in computed.values())
        except BaseException:
            self._arrivals.put_back(touched)
            raise
        finally:
            self._working_since = None
        if computed and not self._pending:
            self._next_commit = max(self._next_commit, self._clock.monotonic() + self._pace.commit_s)
        self._pending |= computed
        now_ms = self._clock.now().timestamp() * 1000
        self._latencies.add(now_ms - arrived for arrived in touched.arrived_ms)

    def _computed(self, posters: set[str]) -> dict[str, tuple[Profile, int]]:
        """The profiles as they are now, and the change up to which."""
        change, found = self._posts.read(posters)
        as_of, half_life_s = self._clock.now(), self._index.half_life_s
        return {name: (profile_of(name, posts, as_of, half_life_s), change) for name, posts in found.items()}

    def _commit(self) -> None:
        shown = self._pending
        with self.committing, self._metrics.profiles_commit_seconds.time():
            note = self._next_note()
            written = self._table.merge([profile for profile, _ in shown.values()], note)
        self._posts.committed(note.commit, {name: change for name, (_, change) in shown.items()})
        self._pending = {}
        rest_s = written / (self._pace.mib_per_s * 1024 * 1024)
        self._next_commit = self._clock.monotonic() + max(self._pace.commit_s, rest_s)

    def _next_note(self) -> Note:
        return Note(self._posts.commits() + 1, self._index.half_life_s)
