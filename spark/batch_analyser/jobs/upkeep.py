"""Table upkeep: merges small files (OPTIMIZE) and deletes files that no kept version needs (VACUUM).

On Databricks of the stream's tables, too: a notebook appends to them, and looks after none. Elsewhere the stream reader
does so itself, as their one writer.

It changes no row. A run's answers are read by the versions that its row in ``runs`` names, however old: a table of
gold whose newest version is not that one (an analysis was cut off after writing it) keeps all its files until the
next complete run.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, RUNS, STREAM_QUARANTINE, gold, silver, stream_table
from pipeline_contracts.names import KINDS, Names
from pipeline_transforms.answers import ANSWERS, COUNTS
from pyspark.sql import SparkSession
from pyspark.sql import functions as fn
from service_kit.clock import Clock, SystemClock

from batch_analyser.jobs.answers import last_run
from batch_analyser.lake import SCHEMAS, UPKEEP, Lake
from batch_analyser.settings import AnalyserSettings

logger = logging.getLogger(__name__)

KEPT = timedelta(days=7)
"""Delta's own least: files that readers of an older version may still be reading."""
VACUUM_EVERY = timedelta(days=1)


@dataclass
class UpkeepReport:
    """What was done; ``kept`` are tables of gold whose files a cut-off analysis keeps from being deleted."""

    compacted: list[str] = field(default_factory=list)
    vacuumed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(
    spark: SparkSession, settings: AnalyserSettings, *, clock: Clock | None = None, kept: timedelta = KEPT
) -> UpkeepReport:
    """Look after every table of the batch path, and of the stream's where nobody else does.

    With nothing to do it reads logs alone.

    ``kept`` is how long files outlive the version that needed them.

    Raises:
        PySparkException: Spark failed; running again does the rest.
    """
    start = time.monotonic()
    now = (clock or SystemClock()).now()
    report = UpkeepReport()
    lake = Lake(spark, settings.lake_uri)
    lake.create_all()
    streams = stream_tables(lake, settings.names)
    _compact(lake, streams, settings.compact_files, report)
    # No file can be older than the lake; a young one is told by one look at one log.
    if lake.oldest_commit(EVENTS) < now - kept:
        last = lake.read(UPKEEP).groupBy("table").agg(fn.unix_millis(fn.max("at")).alias("at_ms")).collect()
        done = {row["table"] for row in last if now.timestamp() - row["at_ms"] / 1000 < VACUUM_EVERY.total_seconds()}
        for table in _tables(lake, streams, done, report):
            lake.vacuum(table, kept.total_seconds() / 3600)
            report.vacuumed.append(table)
    if report.vacuumed:
        rows = [(table, now) for table in report.vacuumed]
        lake.append_few(UPKEEP, spark.createDataFrame(rows, SCHEMAS[UPKEEP]).toArrow())
    report.seconds = round(time.monotonic() - start, 3)
    logger.info("upkeep finished", extra={"compacted": len(report.compacted), "vacuumed": len(report.vacuumed)})
    return report


def stream_tables(lake: Lake, names: Names) -> list[str]:
    """The stream's tables that are there, if they are the upkeep's task."""
    if lake.use_delta_rs:
        return []
    tables = [STREAM_QUARANTINE, *(stream_table(names, kind) for kind in KINDS)]
    return [table for table in tables if lake.exists(table)]


def _compact(lake: Lake, streams: Sequence[str], files: int, report: UpkeepReport) -> None:
    """Bronze only when all of it is clean, so that no cleaning has to read merged files for a few new rows."""
    cleaned = {kind: lake.cleaned(kind) for kind in KINDS}
    for kind, one in cleaned.items():
        with lake.noted(one.note):
            if lake.compact(silver(kind), files):
                report.compacted.append(silver(kind))
    others = [OBJECTS, QUARANTINE, RUNS, UPKEEP, *streams]
    if min(one.cleaned_batch for one in cleaned.values()) == lake.newest_batch():
        others.append(EVENTS)
    report.compacted += [table for table in others if lake.compact(table, files)]


def _tables(lake: Lake, streams: Sequence[str], done: set[str], report: UpkeepReport) -> list[str]:
    """The tables whose old files may go, less those that were done lately."""
    last = last_run(lake)
    free = [EVENTS, OBJECTS, QUARANTINE, RUNS, UPKEEP, *(silver(kind) for kind in KINDS), *streams]
    for table in map(gold, [*ANSWERS, *COUNTS]):
        if table in done or not lake.exists(table):
            continue
        if last is not None and last["versions"].get(table) == lake.version(table):
            free.append(table)
        else:
            report.kept.append(table)
    return [table for table in free if table not in done]
