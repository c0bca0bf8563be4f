"""``bronze/events`` → ``silver/{pin,geo,user}`` and quarantine: only batches not cleaned yet, or quarantine again.

Per kind: rows that cannot be read go to quarantine, unless their coordinate is there; then the touched keys are
recomputed from their silver row and the new rows, and what changed is written in one commit. That commit's
note names the last ingest batch it covers, so that rows and mark cannot come apart. A crash before it makes the
next run clean the same batches again, which changes nothing: a content that is there is a repeat. For the same
reason a lost mark costs time only. A replay's note says that quarantine has some rows of silver as well, until a
commit without rows says that they are gone from there; where that is missing, the next run replays again.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import pyarrow.compute as pc
from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, Cleaned, silver
from pipeline_contracts.names import KINDS, Kind
from pipeline_transforms.cleaning import clean, good_rows
from pipeline_transforms.hashing import with_content_hash
from pipeline_transforms.schemas import current_schema
from pipeline_transforms.versions import current_rows
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as fn
from service_kit.clock import Clock, SystemClock
from spark_kit.session import own_session
from spark_kit.tables import Condition

from batch_analyser.lake import COORDINATE, Lake, no_object_columns
from batch_analyser.settings import MIB, AnalyserSettings

logger = logging.getLogger(__name__)

_COMPACT_EVERY: Final = 8
"""Files are counted after every so many ingest batches only, since counting takes as long as a small commit."""

KEY: Final = "ind"
_IS_UPDATE: Final = "is_update"
_FEW_BYTES: Final = 16 * MIB
"""Of a kind's new records: what is made of so many is written by this process, where Spark takes a second to begin."""


@dataclass
class KindReport:
    """What cleaning did for one kind. ``inserted`` and ``updated`` count keys of silver.

    ``unknown_fields`` counts fields of records that no rule knows: a sender has new ones, or calls one otherwise.
    """

    records: int = 0
    unknown_fields: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    inserted: int = 0
    updated: int = 0
    seconds: float = 0.0


@dataclass
class CleanReport:
    """What one run did; ``kinds`` has only those with new records."""

    kinds: dict[str, KindReport] = field(default_factory=dict)
    compacted: list[str] = field(default_factory=list)


def run(
    spark: SparkSession,
    settings: AnalyserSettings,
    *,
    replay: bool = False,
    clock: Clock | None = None,
    at: Callable[[str], None] = lambda _stage: None,
) -> CleanReport:
    """Bring silver up to bronze.

    ``replay`` also runs the cleaner over quarantined records: those that pass now (the cleaner was fixed) move to
    silver. ``at`` is called after each commit with the table's name; a test crashes there.

    Raises:
        PySparkException: Spark failed; running again goes on from the last commit.
    """
    lake = Lake(spark, settings.lake_uri)
    lake.create_all()
    newest = lake.newest_batch()
    clock = clock or SystemClock()

    quarantine = Lock()
    before = {kind: lake.cleaned(kind) for kind in KINDS}

    def clean_kind(kind: Kind) -> KindReport:
        # A session of its own: the note of a commit is a setting of the session.
        job = _Clean(Lake(own_session(spark), settings.lake_uri), settings, clock, at, quarantine)
        start = time.monotonic()
        done = KindReport()
        if replay or before[kind].replaying:
            job.replay(kind, before[kind], done)
        if before[kind].cleaned_batch < newest:
            job.new_batches(kind, before[kind].cleaned_batch, newest, done)
        done.seconds = round(time.monotonic() - start, 3)
        return done

    # The kinds share no table but quarantine, which only grows; small runs are mostly waiting for the driver.
    with ThreadPoolExecutor(len(KINDS), thread_name_prefix="clean") as pool:
        done = dict(zip(KINDS, pool.map(clean_kind, KINDS), strict=True))
    report = CleanReport({kind: one for kind, one in done.items() if one.records})
    every = min(_COMPACT_EVERY, settings.compact_files)
    if report.kinds and newest // every > min(one.cleaned_batch for one in before.values()) // every:
        report.compacted = _compact(lake, settings.compact_files, newest)
    logger.info("clean finished", extra={"records": sum(one.records for one in report.kinds.values())})
    return report


@dataclass(frozen=True)
class _Clean:
    lake: Lake
    settings: AnalyserSettings
    clock: Clock
    at: Callable[[str], None]
    quarantine: Lock
    """Held by whoever writes to the one table that the kinds share: its commits could conflict."""

    def new_batches(self, kind: Kind, mark: int, newest: int, done: KindReport) -> None:
        topic = self.settings.names.topic(kind)
        batches: list[Condition] = [("ingest_batch", ">", mark), ("ingest_batch", "<=", newest)]
        records = self.lake.read(EVENTS, where=[("topic", "=", topic), *batches])
        cleaned = _slim(clean(records, kind)).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            sums = [fn.sum(name).alias(name) for name in ("bytes", "unknown_fields")]
            counts = cleaned.groupBy("reason").agg(fn.count("*").alias("records"), *sums).collect()
            if not counts:
                return  # the mark of a kind without records may stay: an empty commit would look like news
            done.records += sum(row["records"] for row in counts)
            done.quarantined = {row["reason"]: row["records"] for row in counts if row["reason"] is not None}
            done.unknown_fields = sum(row["unknown_fields"] for row in counts)
            few = sum(row["bytes"] for row in counts) <= _FEW_BYTES
            if done.quarantined:
                with self.quarantine:
                    self._quarantine(cleaned, few=few)
                self.at(QUARANTINE)
            self._upsert(kind, good_rows(cleaned, kind), Cleaned(newest), done, few=few)
            self.at(silver(kind))
        finally:
            cleaned.unpersist()

    def replay(self, kind: Kind, before: Cleaned, done: KindReport) -> None:
        finished, unfinished = Cleaned(before.cleaned_batch), Cleaned(before.cleaned_batch, replaying=True)
        topic = self.settings.names.topic(kind)
        records = self.lake.read(QUARANTINE).where((fn.col("source") == "record") & (fn.col("topic") == topic))
        held = records.select(*COORDINATE, "recorded_at", "value")
        passed = clean(with_content_hash(held), kind).where("reason IS NULL").persist()
        try:
            count, size = passed.agg(fn.count("*"), fn.sum(fn.octet_length("value"))).collect()[0]
            if count:
                done.records += count
                self._upsert(kind, good_rows(passed, kind), unfinished, done, few=size <= _FEW_BYTES)
                self.at(silver(kind))
                with self.quarantine:
                    self._release(passed)
                self.at(QUARANTINE)
            if count or before.replaying:
                no_rows = self.lake.spark.createDataFrame([], current_schema(kind)).toArrow()
                self.lake.append_few(silver(kind), no_rows, finished.note)
        finally:
            passed.unpersist()

    def _release(self, passed: DataFrame) -> None:
        same = " AND ".join(f"was.{name} <=> now.{name}" for name in COORDINATE)
        (
            self.lake.delta(QUARANTINE)
            .alias("was")
            .merge(passed.select(*COORDINATE).alias("now"), f"was.source = 'record' AND {same}")
            .whenMatchedDelete()
            .execute()
        )

    def _quarantine(self, cleaned: DataFrame, *, few: bool) -> None:
        text = fn.coalesce("value", fn.lit(""))
        rows = cleaned.where("reason IS NOT NULL").select(
            fn.lit("record").alias("source"),
            *COORDINATE,
            "recorded_at",
            "reason",
            "value",
            fn.translate(fn.base64(fn.encode(text, "UTF-8")), "\r\n", "").alias("raw_base64"),
            "object_key",
            fn.lit(self.clock.now()).alias("quarantined_at"),
            *no_object_columns(),
        )
        first = self.lake.never_written(QUARANTINE)
        there = self.lake.read(QUARANTINE).where("source = 'record'").select(*COORDINATE)
        new = rows if first else rows.join(there, list(COORDINATE), how="left_anti").select(*rows.columns)
        if few:
            self.lake.append_few(QUARANTINE, new.toArrow())
        elif first or not new.isEmpty():
            self.lake.append(QUARANTINE, new.coalesce(1))

    def _upsert(self, kind: Kind, good: DataFrame, cleaned: Cleaned, done: KindReport, *, few: bool) -> None:
        """One commit that brings silver to what all records together give, and says how far it has come."""
        table, note = silver(kind), cleaned.note
        first = self.lake.never_written(table)
        changed = _inserts(good) if first else _changed(self.lake.read(table), good)
        if few:
            held = changed.toArrow()
            rows = held.drop_columns([_IS_UPDATE])
            updates, count = pc.sum(held[_IS_UPDATE]).as_py() or 0, held.num_rows
            if updates:
                self._merge(table, self.lake.spark.createDataFrame(rows), note)
            else:
                self.lake.append_few(table, rows, note)  # with nothing to insert this still moves the mark
        elif first:
            self.lake.append(table, changed.drop(_IS_UPDATE), note)
            updates, count = 0, self.lake.last_commit(table).metric("numOutputRows")
        else:
            changed.persist(StorageLevel.MEMORY_AND_DISK)
            try:
                updates, count = changed.agg(fn.count_if(_IS_UPDATE), fn.count("*")).collect()[0]
                if updates:
                    self._merge(table, changed.drop(_IS_UPDATE), note)
                else:
                    self.lake.append(table, changed.drop(_IS_UPDATE), note)
            finally:
                changed.unpersist()
        done.updated += int(updates)
        done.inserted += int(count - updates)

    def _merge(self, table: str, rows: DataFrame, note: str) -> None:
        with self.lake.noted(note):
            (
                self.lake.delta(table)
                .alias("was")
                .merge(rows.alias("now"), f"was.{KEY} = now.{KEY}")
                .whenMatchedUpdateAll()
                .whenNotMatchedInsertAll()
                .execute()
            )


def _slim(cleaned: DataFrame) -> DataFrame:
    """Keep the text of bad rows only: good ones need no more than its size in ``bytes``."""
    return cleaned.drop("key", "ingested_at", "ingest_batch").withColumns(
        {
            "value": fn.when(fn.col("reason").isNotNull(), fn.col("value")),
            "bytes": fn.coalesce(fn.octet_length("value"), fn.lit(0)),
        }
    )


def _inserts(good: DataFrame) -> DataFrame:
    """What ``_changed`` gives where silver has no row yet."""
    return current_rows(good).withColumn(_IS_UPDATE, fn.lit(False))


def _changed(before: DataFrame, good: DataFrame) -> DataFrame:
    """The silver rows that new records make or change, and whether each is an update."""
    touched = before.join(good.select(KEY).distinct(), on=KEY, how="left_semi").select(*before.columns)
    now = current_rows(touched.unionByName(good, allowMissingColumns=True))
    was = touched.select(fn.col(KEY).alias("was_key"), _identity().alias("was"))
    joined = now.join(was, fn.col(KEY) == fn.col("was_key"), how="left")
    return joined.where(~fn.col("was").eqNullSafe(_identity())).select(
        *before.columns, fn.col("was_key").isNotNull().alias(_IS_UPDATE)
    )


def _identity() -> Column:
    """What tells two states of one key apart: its contents, by the coordinates of their first records."""
    places = ["log_id", "partition", "offset", "content_hash"]
    return fn.struct(
        *places, fn.transform("superseded", lambda row: fn.struct(*[row[name] for name in places])).alias("others")
    )


def _compact(lake: Lake, files: int, newest: int) -> list[str]:
    """Merge small files, where many have come together.

    Only here: all of bronze is clean now, so that no later run has to read merged files for a few new rows in them.
    """
    compacted = []
    for table in (EVENTS, OBJECTS, QUARANTINE):
        if lake.compact(table, files):
            compacted.append(table)
    for kind in KINDS:
        with lake.noted(Cleaned(newest).note):
            if lake.compact(silver(kind), files):
                compacted.append(silver(kind))
    return compacted
