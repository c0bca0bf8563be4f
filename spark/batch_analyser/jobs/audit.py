"""Where every record of the lake ended: objects → bronze → silver or quarantine, per log and partition.

Quick: counts, by columns that hold coordinates alone. Full: also cleans all of bronze again, decides each record's
fate again, and compares that with silver and quarantine, row by row. ``pipeline audit`` adds the log before it.
"""

import logging
from dataclasses import dataclass, field
from functools import reduce

from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, silver
from pipeline_contracts.names import KINDS, Kind
from pipeline_transforms.cleaning import clean, good_rows
from pipeline_transforms.versions import fates
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as fn

from batch_analyser.jobs.clean import KEY
from batch_analyser.lake import COORDINATE, Lake
from batch_analyser.settings import AnalyserSettings

logger = logging.getLogger(__name__)

LOG = ("topic", "log_id", "partition")
COUNTS = ("in_objects", "in_bronze", "current", "superseded", "repeated", "quarantined", "dead_lettered", "in_flight")
_PLACE = [KEY, "content_hash", "log_id", "partition", "offset", "fate"]


@dataclass
class AuditRow:
    """Counts of one partition of one log.

    ``in_flight`` is in bronze and not cleaned yet; ``doubled`` counts coordinates too many in bronze.
    """

    topic: str
    log_id: str
    partition: int
    in_objects: int = 0
    in_bronze: int = 0
    current: int = 0
    superseded: int = 0
    repeated: int = 0
    quarantined: int = 0
    dead_lettered: int = 0
    in_flight: int = 0
    doubled: int = 0


@dataclass
class AuditReport:
    """``ok`` where ``problems`` is empty. ``unreadable_objects`` were taken as far as they could be read."""

    ok: bool
    full: bool
    rows: list[AuditRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unreadable_objects: list[dict[str, str]] = field(default_factory=list)


class AuditError(Exception):
    """The audit found something; the message says what."""

    def __init__(self, report: AuditReport) -> None:
        super().__init__("; ".join(report.problems))
        self.report = report


def run(spark: SparkSession, settings: AnalyserSettings, *, recount: bool = True) -> AuditReport:
    """Count every record of the lake; writes nothing.

    ``recount`` makes it full, which takes as long as cleaning everything once more.
    """
    lake = Lake(spark, settings.lake_uri)
    if not lake.exists(EVENTS):
        return AuditReport(ok=True, full=recount)
    topics = {kind: settings.names.topic(kind) for kind in KINDS}
    rows = _count(lake, topics)
    problems = [problem for row in rows for problem in _problems(row)]
    if recount and not problems:
        problems = [problem for kind in KINDS for problem in _recount(lake, kind, topics[kind])]
    report = AuditReport(not problems, recount, rows, problems, _unreadable(lake))
    logger.info("audit finished", extra={"ok": report.ok, "full": recount, "problems": len(problems)})
    return report


def _count(lake: Lake, topics: dict[Kind, str]) -> list[AuditRow]:
    parts = [
        in_objects(lake.read(OBJECTS).where(fn.col("topic").isin(*topics.values()))),
        _in_bronze(lake, topics),
        *[_in_silver(lake, kind, topic) for kind, topic in topics.items()],
        _in_quarantine(lake),
    ]
    union = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)
    sums = [fn.coalesce(fn.sum(name), fn.lit(0)).alias(name) for name in (*COUNTS, "doubled") if name in union.columns]
    rows = [AuditRow(**row.asDict()) for row in union.groupBy(*LOG).agg(*sums).orderBy(*LOG).collect()]
    for row in rows:
        row.repeated = row.in_bronze - row.in_flight - row.current - row.superseded - row.quarantined
    return rows


def in_objects(ledger: DataFrame) -> DataFrame:
    """Distinct coordinates in all objects as they were when last read, however they overlap.

    What an object held before it was written again does not count: its lines may have been erased.
    """
    last = ledger.groupBy("object_key").agg(fn.max_by(fn.struct(*LOG, "ranges"), "ingested_at").alias("last"))
    reach = (
        last.select("last.*")
        .select(*LOG, fn.explode("ranges").alias("reach"))
        .select(*LOG, "reach.first", "reach.next")
    )
    before = Window.partitionBy(*LOG).orderBy("first", "next").rowsBetween(Window.unboundedPreceding, -1)
    start = fn.greatest("first", fn.coalesce(fn.max("next").over(before), fn.col("first")))
    fresh = reach.select(*LOG, fn.greatest(fn.col("next") - start, fn.lit(0)).alias("fresh"))
    return fresh.groupBy(*LOG).agg(fn.sum("fresh").alias("in_objects"))


def _in_bronze(lake: Lake, topics: dict[Kind, str]) -> DataFrame:
    marks = {topic: lake.cleaned(kind).cleaned_batch for kind, topic in topics.items()}
    mark = reduce(
        lambda case, pair: case.when(fn.col("topic") == pair[0], pair[1]), marks.items(), fn.when(fn.lit(False), 0)
    ).otherwise(0)
    return (
        lake.read(EVENTS)
        .groupBy(*LOG)
        .agg(
            fn.count("*").alias("in_bronze"),
            (fn.count("*") - fn.countDistinct("offset")).alias("doubled"),
            fn.count_if(fn.col("ingest_batch") > mark).alias("in_flight"),
        )
    )


def _in_silver(lake: Lake, kind: Kind, topic: str) -> DataFrame:
    return (
        _contents(lake, kind)
        .groupBy(fn.lit(topic).alias("topic"), "log_id", "partition")
        .agg(
            fn.count_if(fn.col("fate") == "current").alias("current"),
            fn.count_if(fn.col("fate") == "superseded").alias("superseded"),
        )
    )


def _contents(lake: Lake, kind: Kind) -> DataFrame:
    """Every content in silver: key, hash, coordinate of its first record, and which of the two it is."""
    rows = lake.read(silver(kind))
    current = rows.select("*", fn.lit("current").alias("fate")).select(*_PLACE)
    others = rows.select(fn.explode("superseded").alias("row")).select("row.*", fn.lit("superseded").alias("fate"))
    return current.unionByName(others.select(*_PLACE))


def _in_quarantine(lake: Lake) -> DataFrame:
    return (
        lake.read(QUARANTINE)
        .groupBy(*LOG)
        .agg(
            fn.count_if(fn.col("source") == "record").alias("quarantined"),
            fn.count_if(fn.col("source") == "dead_letter").alias("dead_lettered"),
        )
    )


def _problems(row: AuditRow) -> list[str]:
    where = f"{row.topic} partition {row.partition} (log {row.log_id})"
    found = []
    if row.in_bronze < row.in_objects:
        found.append(f"{where}: {row.in_objects - row.in_bronze} records of objects are missing in bronze")
    if row.doubled:
        found.append(f"{where}: {row.doubled} records are in bronze twice")
    if row.repeated < 0:
        found.append(f"{where}: silver and quarantine hold {-row.repeated} records more than bronze; run clean")
    return found


def _recount(lake: Lake, kind: Kind, topic: str) -> list[str]:
    """What differs when everything is decided again from bronze alone."""
    mark = lake.cleaned(kind).cleaned_batch
    records = lake.read(EVENTS, where=(("topic", "=", topic), ("ingest_batch", "<=", mark)))
    cleaned = clean(records, kind).drop("value").persist()
    try:
        expected = fates(good_rows(cleaned, kind)).where("fate <> 'repeated'").select(*_PLACE)
        actual = _contents(lake, kind)
        lacks, more = _difference(expected, actual)
        bad = cleaned.where("reason IS NOT NULL").select(*COORDINATE)
        held = lake.read(QUARANTINE).where((fn.col("source") == "record") & (fn.col("topic") == topic))
        bad_lacks, bad_more = _difference(bad, held.select(*COORDINATE))
    finally:
        cleaned.unpersist()
    counts = {
        f"{kind}: silver lacks {lacks} contents that bronze gives": lacks,
        f"{kind}: silver holds {more} contents that bronze does not give": more,
        f"{kind}: quarantine lacks {bad_lacks} records that cannot be read": bad_lacks,
        f"{kind}: quarantine holds {bad_more} records that can be read; run clean --replay": bad_more,
    }
    return [text for text, count in counts.items() if count]


def _difference(expected: DataFrame, actual: DataFrame) -> tuple[int, int]:
    """How many rows the second lacks, and how many it has too many."""
    both = expected.select("*", fn.lit(1).alias("n")).unionByName(actual.select("*", fn.lit(-1).alias("n")))
    sums = both.groupBy(*expected.columns).agg(fn.sum("n").alias("n"))
    lacks, more = fn.sum(fn.greatest("n", fn.lit(0))), fn.sum(fn.greatest(-fn.col("n"), fn.lit(0)))
    row = sums.agg(fn.coalesce(lacks, fn.lit(0)), fn.coalesce(more, fn.lit(0))).collect()[0]
    return int(row[0]), int(row[1])


def _unreadable(lake: Lake) -> list[dict[str, str]]:
    """Objects that could not be read whole in the state in which they were read last."""
    last = lake.read(OBJECTS).groupBy("object_key").agg(fn.max_by("problem", "ingested_at").alias("problem"))
    rows = last.where("problem IS NOT NULL").orderBy("object_key").collect()
    return [{"object": row["object_key"], "problem": row["problem"]} for row in rows]
