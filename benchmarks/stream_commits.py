"""What one small commit to a stream table costs: by Spark, and by delta-rs, which the stream reader uses (ADR 0017).

Run ``.venv/bin/python benchmarks/stream_commits.py --commits 20``. 70 pins are appended to a table with the transaction
that makes an append happen once, and 100 profiles of 5,000 are merged; each in turn by both, on a local disk. Wall and
CPU seconds of this process with its JVM, median of the second half of the commits.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import pyarrow as pa
from pipeline_contracts.lake import POPULARITY, stream_table
from pipeline_contracts.names import Names
from pipeline_local.layout import Layout
from pyspark.sql import SparkSession
from spark_kit.jvm import JvmConfig
from spark_kit.lake import Transaction
from spark_kit.session import SessionConfig, build_session, stop_session
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.tables import StreamLake, create_all, rows_schema
from stream_reader.popularity.scores import Post, profile
from stream_reader.settings import SMALL_BATCHES

NAMES = Names("bench")
ROWS, PROFILES, CHANGED = 70, 5_000, 100
NOW = datetime.now(UTC)


class Costs:
    """Wall and CPU seconds of what was done, by name."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def of(self, name: str, work: Callable[[], object]) -> None:
        began, cpu = time.perf_counter(), _cpu()
        work()
        self._seconds[name].append((time.perf_counter() - began, _cpu() - cpu))

    def described(self) -> dict[str, dict[str, float]]:
        warm = {name: seconds[len(seconds) // 2 :] for name, seconds in self._seconds.items()}
        return {
            name: {
                "wall_s": round(statistics.median(wall for wall, _ in seconds), 3),
                "cpu_s": round(statistics.median(cpu for _, cpu in seconds), 3),
            }
            for name, seconds in warm.items()
        }


def _cpu() -> float:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(spark: SparkSession, folder: Path, commits: int) -> dict[str, dict[str, float]]:
    """Append and merge, by both in turn; each has a lake of its own."""
    costs = Costs()
    lakes = {name: StreamLake(spark, (folder / name).as_uri()) for name in ("spark", "delta-rs")}
    for lake in lakes.values():
        create_all(DeltaTables(lake.uri), NAMES)
    table, by_spark, tables = stream_table(NAMES, "pin"), lakes["spark"], DeltaTables(lakes["delta-rs"].uri)
    schema = spark.createDataFrame([], rows_schema("pin")).toArrow().schema
    rows = pa.Table.from_pylist([{"ind": ind, "title": f"title {ind}", "value": "{}"} for ind in range(ROWS)], schema)
    profiles = spark.read.format("delta").load(by_spark.path(POPULARITY)).limit(0).toArrow().schema

    def changed(names: list[str]) -> pa.Table:
        posts = [Post(ind, "t", "art", "Chad", None, 5, 0, f"{ind:09}") for ind in range(5)]
        return pa.Table.from_pylist([dict(profile(name, posts, NOW, 3_600.0)) for name in names], profiles)

    def merge_by_spark(part: pa.Table) -> None:
        merge = (
            by_spark.delta(POPULARITY)
            .alias("old")
            .merge(spark.createDataFrame(part).alias("new"), "old.poster_name = new.poster_name")
        )
        merge.whenMatchedDelete("new.posts = 0").whenMatchedUpdateAll().whenNotMatchedInsertAll(
            "new.posts > 0"
        ).execute()

    everybody = [f"p{number}" for number in range(PROFILES)]
    merge_by_spark(changed(everybody))
    tables.merge(POPULARITY, changed(everybody), "poster_name", "new.posts > 0")
    for number in range(commits):
        once = Transaction("bench", number)
        frame, part = spark.createDataFrame(rows).coalesce(1), changed(random.sample(everybody, CHANGED))
        costs.of("append by Spark", partial(by_spark.append, table, frame, transaction=once))
        costs.of("append by delta-rs", partial(tables.append, table, rows, once))
        costs.of("merge by Spark", partial(merge_by_spark, part))
        costs.of("merge by delta-rs", partial(tables.merge, POPULARITY, part, "poster_name", "new.posts > 0"))
    assert by_spark.read(table).count() == lakes["delta-rs"].read(table).count() == ROWS * commits
    return costs.described()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the report to this file too")
    asked = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    layout = Layout.of_checkout()
    jvm = JvmConfig(layout.spark_jars, layout.class_archives)
    spark = build_session(SessionConfig("bench", jvm, conf=SMALL_BATCHES))
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = measure(spark, Path(folder), asked.commits)
    finally:
        stop_session(spark)
    print(json.dumps(report, indent=2))
    if asked.json is not None:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
