"""Objects → ``bronze/events``: only what is new or was written again, each coordinate once.

A commit is: fetch a bounded part of the new objects; append records whose coordinates bronze does not hold;
put what cannot be read, and dead letters, into quarantine unless they are there; append the objects to the
ledger, last. A crash anywhere before the ledger's commit makes the next run read the same objects again, and
every step before it leaves out what it finds done. So nothing is lost and nothing counts twice.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

import pyarrow as pa
from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as fn
from service_kit.clock import Clock, SystemClock

from batch_analyser.jobs.find_new import find_new, known_tails
from batch_analyser.lake import COORDINATE, OF_OBJECTS, Lake, no_object_columns
from batch_analyser.objects.fetch import fetch_here, task_body
from batch_analyser.objects.listing import Listed, Tail, in_commits, in_tasks
from batch_analyser.objects.rows import DDL, DEAD_LETTER, GONE, OBJECT, RECORD, REJECT, Source
from batch_analyser.objects.tails import Taken, advanced, to_note
from batch_analyser.settings import MIB, AnalyserSettings

logger = logging.getLogger(__name__)

_TASKS_PER_CORE = 2
_OBJECTS_PER_TASK = 32
_LONGEST_FILTER = 64
_FEW_PACKED_BYTES = 2 * MIB
_FEW_BYTES = 16 * MIB
"""Of a part's rows: what is so small this process fetches and writes itself, where Spark takes seconds to begin."""

_OF_A_LINE = ("object_key", "line", "raw_bytes", "raw_sha256", "raw_base64")
_SAME_LINE = """
was.object_key = now.object_key AND (
  (was.line = now.line AND was.raw_bytes = now.raw_bytes AND was.raw_sha256 <=> now.raw_sha256)
  OR (was.line IS NULL AND was.raw_base64 = now.raw_base64)
)"""
"""Lines are told apart by their place and their bytes; rows of before the table had these columns, by bytes alone."""


@dataclass
class IngestReport:
    """What one ingest did. ``known`` records were in bronze already; ``gone`` objects vanished while it ran."""

    listed: int = 0
    objects: int = 0
    gone: int = 0
    records: int = 0
    known: int = 0
    dead_letters: int = 0
    commits: int = 0
    unreadable: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add_seconds(self, stage: str, since: float) -> float:
        """Count the time since then for a stage; returns now."""
        now = time.monotonic()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - since, 3)
        return now


def run(
    spark: SparkSession,
    settings: AnalyserSettings,
    *,
    all_keys: bool = False,
    clock: Clock | None = None,
    at: Callable[[str], None] = lambda _stage: None,
) -> IngestReport:
    """Take in everything that the bucket holds and the ledger does not.

    ``all_keys`` lists every object instead of going on from the last known ones. ``at`` is called between the
    commits of one part, with the name of the one just made; a test crashes there.

    Raises:
        BucketMissingError: there is no bucket.
        PySparkException, ClientError: Spark or S3 failed; running again goes on from the last commit.
    """
    report = IngestReport()
    lake = Lake(spark, settings.lake_uri)
    lake.create_all()
    start = time.monotonic()
    known = known_tails(lake)
    listing, new = find_new(lake, settings, known, all_keys=all_keys)
    report.listed = listing.listed
    report.add_seconds("list", start)
    ingest = _Ingest(lake, settings, clock or SystemClock(), report, at, known)
    for part in in_commits(new, settings.commit_objects, settings.commit_mib * MIB):
        ingest.commit(part)
    logger.info("ingest finished", extra={"objects": report.objects, "records": report.records})
    return report


@dataclass
class _Ingest:
    lake: Lake
    settings: AnalyserSettings
    clock: Clock
    report: IngestReport
    at: Callable[[str], None]
    tails: dict[str, Tail] | None

    def commit(self, objects: list[Listed]) -> None:
        start = time.monotonic()
        here = self._fetch_here(objects)
        few = here is not None
        fetched = self._fetch(objects) if here is None else self.lake.spark.createDataFrame(here).coalesce(1)
        fetched.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            found = fetched.where(fn.col("what").isin(OBJECT, GONE)).collect()
            start = self.report.add_seconds("fetch", start)
            read = [row for row in found if row["what"] == OBJECT]
            self.report.gone += len(found) - len(read)
            now = self.clock.now()
            self._append_events(fetched, read, now, few=few)
            self.at(EVENTS)
            start = self.report.add_seconds("bronze", start)
            self._append_quarantine(fetched, read, now)
            self.at(QUARANTINE)
            start = self.report.add_seconds("quarantine", start)
            self._append_ledger(fetched, now)
            self.report.add_seconds("ledger", start)
        finally:
            fetched.unpersist()
        self.report.objects += len(read)
        self.report.commits += 1

    def _source(self) -> Source:
        settings = self.settings
        return Source(
            endpoint_url=settings.aws_endpoint_url,
            region=settings.aws_region,
            bucket=settings.bucket,
            dead_letter_topic=settings.names.dead_letter_topic,
            threads=settings.fetch_threads,
        )

    def _fetch_here(self, objects: list[Listed]) -> pa.Table | None:
        if sum(listed.size for listed in objects) > _FEW_PACKED_BYTES:
            return None
        return fetch_here(self._source(), objects, _FEW_BYTES)

    def _fetch(self, objects: list[Listed]) -> DataFrame:
        settings = self.settings
        most = settings.cores * _TASKS_PER_CORE
        tasks = in_tasks(objects, min(most, max(settings.cores, len(objects) // _OBJECTS_PER_TASK)))
        numbers = self.lake.spark.range(0, len(tasks), 1, len(tasks))
        return numbers.mapInArrow(task_body(self._source(), tasks), DDL)

    def _append_events(self, fetched: DataFrame, read: list[Row], now: datetime, *, few: bool) -> None:
        events = [row for row in read if row["topic"] != self.settings.names.dead_letter_topic and row["records"]]
        if not events:
            return
        records = fetched.where(fn.col("what") == RECORD)
        once = records.dropDuplicates(list(COORDINATE)) if _overlap(events) else records
        there = self.lake.read(EVENTS).where(_within(events)).select(*COORDINATE)
        twice = not self.lake.never_written(EVENTS) and not there.isEmpty()
        new = once.join(there, list(COORDINATE), how="left_anti") if twice else once
        rows = new.select(
            *COORDINATE,
            "recorded_at",
            "key",
            "value",
            "content_hash",
            "object_key",
            fn.lit(now).alias("ingested_at"),
            fn.lit(self.lake.newest_batch() + 1).cast("bigint").alias("ingest_batch"),
        )
        added = 0
        if few:
            held = rows.toArrow()
            self.lake.append_few(EVENTS, held)
            added = held.num_rows
        elif not twice or not new.isEmpty():
            self.lake.append(EVENTS, rows)
            added = self.lake.last_commit(EVENTS).metric("numOutputRows")
        self.report.records += added
        self.report.known += sum(row["records"] for row in events) - added

    def _append_quarantine(self, fetched: DataFrame, read: list[Row], now: datetime) -> None:
        topic = self.settings.names.dead_letter_topic
        letters = sum(row["records"] for row in read if row["topic"] == topic)
        broken = [row for row in read if row["problem"] is not None]
        if not letters and not broken:
            return
        self.report.unreadable += [{"object": row["object_key"], "problem": row["problem"]} for row in broken]
        there = self.lake.read(QUARANTINE)
        if letters:
            rows = quarantine_rows(fetched, DEAD_LETTER, "dead_letter", now)
            before = there.where("source = 'dead_letter'").select(*COORDINATE)
            new = rows.dropDuplicates(list(COORDINATE)).join(before, list(COORDINATE), how="left_anti")
            self.report.dead_letters += self._append_new(new)
        if broken:
            rows = quarantine_rows(fetched, REJECT, "object", now)
            before = there.where("source = 'object'").select(*_OF_A_LINE)
            self._append_new(rows.alias("now").join(before.alias("was"), fn.expr(_SAME_LINE), how="left_anti"))

    def _append_new(self, rows: DataFrame) -> int:
        """Append, and say how many; nothing new makes no version."""
        held = rows.persist()
        try:
            count = held.count()
            if count:
                self.lake.append(QUARANTINE, held.select(*self.lake.read(QUARANTINE).columns).coalesce(1))
        finally:
            held.unpersist()
        return count

    def _append_ledger(self, fetched: DataFrame, now: datetime) -> None:
        rows = fetched.where(fn.col("what") == OBJECT).select(
            "object_key",
            "etag",
            "log_id",
            "topic",
            "partition",
            fn.col("offset").alias("first_offset"),
            "next_offset",
            "records",
            "problem",
            fn.lit(now).alias("ingested_at"),
            "ranges",
        )
        held = rows.toArrow()
        columns = ("object_key", "etag", "first_offset", "next_offset")
        moved = [Taken(*(row[name] for name in columns)) for row in held.select(columns).to_pylist()]
        self.tails = advanced(self.tails, moved)
        self.lake.append_few(OBJECTS, held, to_note(self.tails) if moved else None)


def quarantine_rows(fetched: DataFrame, what: str, source: str, now: datetime) -> DataFrame:
    """Fetched rows of one sort, as ``quarantine/batch`` holds them."""
    return fetched.where(fn.col("what") == what).select(
        fn.lit(source).alias("source"),
        *COORDINATE,
        "recorded_at",
        "reason",
        "value",
        "raw_base64",
        "object_key",
        fn.lit(now).alias("quarantined_at"),
        *([*OF_OBJECTS] if source == "object" else no_object_columns()),
    )


def _by_log(rows: Iterable[Row]) -> dict[tuple[str, str, int], list[tuple[int, int]]]:
    logs: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
    for row in rows:
        reach = (row["ranges"][0]["first"], row["ranges"][-1]["next"])
        logs.setdefault((row["log_id"], row["topic"], row["partition"]), []).append(reach)
    return logs


def _overlap(rows: Iterable[Row]) -> bool:
    """Whether two objects of one part may hold the same coordinate."""
    return any(
        before[1] > after[0] for reaches in _by_log(rows).values() for before, after in pairwise(sorted(reaches))
    )


def _within(rows: Iterable[Row]) -> Column:
    """Bronze rows that may have a coordinate of these objects.

    The ranges let Delta skip every file but the overlapping ones, which usually leaves none. Too many logs (objects
    without coordinates are each their own) would make the filter longer than the work it saves.
    """
    logs = _by_log(rows)
    if len(logs) > _LONGEST_FILTER:
        return fn.col("log_id").isin(*{log_id for log_id, _, _ in logs})
    condition: Column = fn.lit(False)
    for (log_id, topic, partition), reaches in logs.items():
        first, beyond = min(reach[0] for reach in reaches), max(reach[1] for reach in reaches)
        condition |= (
            (fn.col("topic") == topic)
            & (fn.col("partition") == partition)
            & (fn.col("log_id") == log_id)
            & fn.col("offset").between(first, beyond - 1)
        )
    return condition
