"""The popularity without Spark and without a table of its own: it follows the stream tables, whoever writes them.

On AWS Databricks writes them. This reads the files that are new in them, keeps the posts in a file, and the profiles in
memory, as the reader itself does.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError
from pipeline_contracts.lake import stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from prometheus_client import CollectorRegistry, Gauge
from service_kit.clock import Clock
from service_kit.ops import NotReadyError
from service_kit.retries import RetryPolicy

from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.failures import FAILURES, brief
from stream_reader.lake.tables import STORED
from stream_reader.popularity.index import Index
from stream_reader.popularity.posts import Posts
from stream_reader.popularity.posts_database import FACTS, PostsLostError

logger = logging.getLogger(__name__)

_PORTION: Final = 5_000
_LATE_S: Final = 60.0


class Follower:
    """``run`` is one thread; ``check`` is safe for any."""

    def __init__(
        self,
        opened: Callable[[], DeltaTables],
        names: Names,
        posts: Posts,
        index: Index,
        *,
        every_s: float,
        retries: RetryPolicy,
    ) -> None:
        """``opened`` gives the tables as they are now; it is called for each look."""
        self._opened = opened
        self._of: Mapping[Kind, str] = {kind: stream_table(names, kind) for kind in KINDS}
        self._posts = posts
        self._index = index
        self._every_s = every_s
        self._retries = retries
        self._clock: Clock = retries.clock
        self._seen: dict[Kind, tuple[str, int]] = {}
        self._looked_at: float | None = None
        self._error: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Follow until ``stop``. A failure is retried, with waits that grow."""
        waits = self._retries.waits()
        wait_s = 0.0
        while not stop.wait(wait_s):
            try:
                self.step()
            except FAILURES as error:
                self._error = brief(error)
                wait_s = next(waits)
                logger.warning("the tables cannot be read", extra={"reason": self._error, "wait_s": round(wait_s, 2)})
            else:
                self._error, wait_s, waits = None, self._every_s, self._retries.waits()

    def step(self) -> None:
        """Take in what is new.

        Raises:
            DeltaError, OSError: a table is not there, or cannot be read now.
            sqlite3.Error: the file of posts cannot be written, or was damaged: the next step reads all again.
        """
        # Opened anew: what is kept open does not notice that another table took the first one's place.
        tables = self._opened()
        now = {kind: (tables.id(table), tables.version(table)) for kind, table in self._of.items()}
        if any(now[kind][0] != told for kind, (told, _) in self._seen.items()):
            logger.warning("a table was recreated; the posts are read again")
            self._posts.clear()
            self._index.put({"poster_name": name, "posts": 0} for name in self._index.names())
            self._seen = {}
        try:
            for kind, place in now.items():
                if place != self._seen.get(kind):
                    self._take_in(tables, kind, place)
        except PostsLostError:
            self._seen = {}
            raise
        self._looked_at = self._clock.monotonic()

    def check(self) -> str:
        """For ``/readyz``."""
        if self._error is not None:
            raise NotReadyError(self._error)
        if self._looked_at is None:
            raise NotReadyError("the posts are not read yet")
        if self.age_s > self._every_s + _LATE_S:
            raise NotReadyError(
                f"the tables were looked at {self.age_s:.0f} s ago; that look is not over, or nobody looks"
            )
        return f"{len(self._index)} profiles, as of {self.age_s:.0f} s ago"

    @property
    def age_s(self) -> float:
        """How old what is told may be, beside what the tables lack; infinite before the first look."""
        return math.inf if self._looked_at is None else self._clock.monotonic() - self._looked_at

    def measured(self, registry: CollectorRegistry) -> None:
        """Make the metrics of this known."""
        profiles = Gauge("popularity_profiles", "Profiles in memory", registry=registry)
        profiles.set_function(lambda: len(self._index))
        age = Gauge("popularity_age_seconds", "Since the last look at the tables that went well", registry=registry)
        age.set_function(lambda: self.age_s)

    def _take_in(self, tables: DeltaTables, kind: Kind, place: tuple[str, int]) -> None:
        for rows in self._new(tables, kind):
            self._posts.put([(kind, rows)])
        # Not only of these rows: a step that failed may have left some.
        while changed := self._posts.changed(_PORTION):
            self._index.put(self._posts.profiles(changed, self._clock.now(), self._index.half_life_s))
            self._posts.stored(changed)
        self._seen[kind] = place

    def _new(self, tables: DeltaTables, kind: Kind) -> Iterator[pa.Table]:
        """Rows of files that are new since the last look; all rows where Delta does not know that version any more."""
        columns = ("ind", *STORED, *FACTS[kind])
        if kind in self._seen:
            try:
                yield from tables.read(self._of[kind], columns, since=self._seen[kind][1])
            except DeltaError as error:
                logger.warning("all rows are read again", extra={"kind": kind, "reason": str(error)[:300]})
            else:
                return
        yield from tables.read(self._of[kind], columns)
