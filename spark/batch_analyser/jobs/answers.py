"""Silver → the nine answers and three tables of counts in gold, then one row in ``runs``, last.

The tables of gold commit one by one. The row in ``runs`` names the versions that belong together, so that readers
who take them from the newest row never see half a run; a run that was cut off leaves no row and no trace for them.
"""

import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, RUNS, gold, silver
from pipeline_contracts.names import KINDS
from pipeline_transforms.answers import ANSWERS, COUNTS, Policies, Posts, posts_of
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as fn
from service_kit.clock import Clock, SystemClock
from spark_kit.tables import Written

from batch_analyser.lake import SCHEMAS, Lake
from batch_analyser.policies import described
from batch_analyser.settings import AnalyserSettings

logger = logging.getLogger(__name__)

_WRITERS = 4
DEFAULT = Policies()


@dataclass
class AnswersReport:
    """``nothing_new``: the last run's answers are still those of the data; no table was written."""

    run_id: str | None = None
    nothing_new: bool = False
    policies: dict[str, str] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def run(
    spark: SparkSession,
    settings: AnalyserSettings,
    *,
    clock: Clock | None = None,
    at: Callable[[str], None] = lambda _stage: None,
) -> AnswersReport:
    """Answer by the default policies and store, unless the last run read the same versions of silver.

    A run that lacks an answer, since the question is newer than it, or one of whose answers cannot be read any more, is
    not taken for the same.

    ``at`` is called before the row in ``runs`` is written; a test crashes there.

    Raises:
        PySparkException: Spark failed; readers keep the last complete run, as with the next.
        DeltaError, OSError: gold could not be written to a disk.
    """
    start = time.monotonic()
    clock = clock or SystemClock()
    lake = Lake(spark, settings.lake_uri)
    lake.create_all()
    read = {silver(kind): lake.version(silver(kind)) for kind in KINDS}
    last = last_run(lake)
    damaged = _begin_damaged_anew(lake, last, clock.now())
    current = last is not None and all(_is_as_read(lake, last, *table) for table in read.items())
    if last is not None and current and _is_whole(last) and not damaged:
        return AnswersReport(last["run_id"], nothing_new=True, policies=last["policies"], records=last["records"])
    started_at = clock.now()
    run_id = f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    written, records = _write(lake, read, run_id)
    versions = read | written | {table: lake.version(table) for table in (EVENTS, OBJECTS, QUARANTINE)}
    at(RUNS)
    _append_run(lake, run_id, (started_at, _after(last, clock.now())), versions, records)
    logger.info("answers stored", extra={"run_id": run_id})
    return AnswersReport(
        run_id=run_id,
        policies=described(DEFAULT),
        records=records,
        versions=versions,
        seconds=round(time.monotonic() - start, 3),
    )


def compute(spark: SparkSession, settings: AnalyserSettings, policies: Policies) -> dict[str, list[dict[str, Any]]]:
    """The nine answers by any policies, from silver as it is now. Stores nothing."""
    lake = Lake(spark, settings.lake_uri)
    data = _posts(lake, {silver(kind): lake.version(silver(kind)) for kind in KINDS})
    data.posts.persist()
    try:
        return {name: [row.asDict() for row in answer(data, policies).collect()] for name, answer in ANSWERS.items()}
    finally:
        data.posts.unpersist()


def stored(spark: SparkSession, settings: AnalyserSettings) -> tuple[Row, dict[str, list[dict[str, Any]]]] | None:
    """The last complete run and its answers; None before the first."""
    if (found := stored_frames(spark, settings)) is None:
        return None
    last, answers = found
    return last, {name: [row.asDict() for row in answer.collect()] for name, answer in answers.items()}


def stored_frames(spark: SparkSession, settings: AnalyserSettings) -> tuple[Row, dict[str, DataFrame]] | None:
    """The same as frames, by time travel, whose rows are read when they are asked for."""
    lake = Lake(spark, settings.lake_uri)
    last = last_run(lake) if lake.exists(RUNS) else None
    if last is None:
        return None
    versions = last["versions"]
    return last, {name: _frame(lake, name, versions[gold(name)]) for name in ANSWERS if gold(name) in versions}


def last_run(lake: Lake) -> Row | None:
    """The newest complete run."""
    rows = lake.read(RUNS).orderBy(fn.col("finished_at").desc(), fn.col("run_id").desc()).limit(1).collect()
    return rows[0] if rows else None


def _begin_damaged_anew(lake: Lake, last: Row | None, now: datetime) -> bool:
    """Whether answers of the last run cannot be read. What has no readable log begins anew; its log stays beside."""
    damaged = False
    for name in (*ANSWERS, *COUNTS):
        table = gold(name)
        version = None if last is None else last["versions"].get(table)
        reason = lake.damage(table, version) or lake.damage(table)
        if reason is None:
            continue
        damaged = True
        logger.warning("answers cannot be read: recomputed", extra={"table": table, "reason": reason[:300]})
        lake.set_damaged_log_aside(table, now)
    return damaged


def _after(last: Row | None, now: datetime) -> datetime:
    """Now, or right after the last run where the clock was set back: readers take the row that finished last."""
    if last is None:
        return now
    before: datetime = last["finished_at"].astimezone(UTC)
    return max(now, before + timedelta(microseconds=1))


def _is_whole(last: Row) -> bool:
    """Whether the last run has every answer that there is now."""
    return {gold(name) for name in (*ANSWERS, *COUNTS)} <= set(last["versions"])


def _is_as_read(lake: Lake, last: Row, table: str, version: int) -> bool:
    """Whether the last run read the rows that the table has now."""
    before = last["versions"].get(table)
    return before is not None and (before == version or lake.same_rows_since(table, before))


def _frame(lake: Lake, name: str, version: int) -> DataFrame:
    table = lake.read(gold(name), version).drop("run_id")
    return table.orderBy(*sort_columns(table))


def sort_columns(answer: DataFrame) -> list[str]:
    """The columns that are not measures, in the answer's order."""
    measures = {"category_count", "follower_count", "median_follower_count", "number_users_joined"}
    return [name for name in answer.columns if name not in measures]


def _posts(lake: Lake, versions: dict[str, int]) -> Posts:
    pin, geo, user = (lake.read(silver(kind), versions[silver(kind)]) for kind in KINDS)
    return posts_of(pin, geo, user)


def _write(lake: Lake, read: dict[str, int], run_id: str) -> tuple[dict[str, int], dict[str, int]]:
    """All of gold; the versions written and the rows in each table. Several at once: each is mostly waiting."""
    data = _posts(lake, read)
    data.posts.persist()
    data.users.persist()
    try:
        records = {"posts": data.posts.count(), "users": data.users.count()}

        def write(name: str) -> tuple[str, Written]:
            rows = {**ANSWERS, **COUNTS}[name](data, DEFAULT).withColumn("run_id", fn.lit(run_id))
            return name, lake.overwrite(gold(name), rows)

        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="gold") as pool:
            done = dict(pool.map(write, [*ANSWERS, *COUNTS]))
    finally:
        data.posts.unpersist()
        data.users.unpersist()
    versions = {gold(name): table.version for name, table in done.items()}
    return versions, records | {name: table.rows for name, table in done.items()}


def _append_run(
    lake: Lake, run_id: str, times: tuple[datetime, datetime], versions: dict[str, int], records: dict[str, int]
) -> None:
    row = (run_id, *times, described(DEFAULT), versions, records)
    lake.append_few(RUNS, lake.spark.createDataFrame([row], SCHEMAS[RUNS]).toArrow())
