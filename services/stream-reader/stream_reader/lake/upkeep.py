"""Keeps the tables small: merges small files, deletes those that nobody needs any more."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from service_kit.clock import Clock
from spark_kit.lake import DeltaLake
from spark_kit.session import session_alive

from stream_reader.metrics import Metrics

logger = logging.getLogger(__name__)

_VACUUM_EVERY_S = 3_600.0


@dataclass(frozen=True)
class Upkept:
    """One table: how it is kept, and what to hold while its small files are merged, so that nobody writes then."""

    table: str
    files: int
    file_bytes: int
    retention_h: float
    exclusive: Callable[[], AbstractContextManager[object]]


class Upkeep:
    """Goes over all tables at intervals. ``run`` is a thread of its own."""

    def __init__(
        self, lake: DeltaLake, tables: Sequence[Upkept], interval_s: float, metrics: Metrics, clock: Clock
    ) -> None:
        self._lake = lake
        self._tables = tables
        self._interval_s = interval_s
        self._metrics = metrics
        self._clock = clock
        self._vacuumed_at: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop``, or until the JVM is gone. A table that cannot be kept is retried next time."""
        while not stop.wait(self._interval_s) and session_alive():
            for one in self._tables:
                if stop.is_set():
                    return
                self.keep(one)

    def keep(self, one: Upkept) -> bool:
        """Merge one table's small files where there are many, and vacuum it once an hour; says whether it merged."""
        merged = False
        try:
            with self._metrics.upkeep_seconds.labels(one.table).time():
                with one.exclusive():
                    merged = self._lake.compact(one.table, one.files, one.file_bytes)
                last = self._vacuumed_at.get(one.table)
                now = self._clock.monotonic()
                if last is None or now - last >= min(_VACUUM_EVERY_S, one.retention_h * 3_600):
                    self._vacuumed_at[one.table] = now
                    self._lake.vacuum(one.table, one.retention_h)
        except (PySparkException, Py4JError) as error:
            if session_alive():
                logger.warning("upkeep failed", extra={"table": one.table, "reason": str(error)[:500]})
        else:
            if merged:
                logger.info("small files are merged", extra={"table": one.table})
        return merged
