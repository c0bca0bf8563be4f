"""From raw files to silver and nine answers: the pipeline's functions in Spark, beside plain SQL in DuckDB.

Run ``.venv/bin/python benchmarks/answers.py --posts 400000 --jars .pipeline/tools/jars/spark``. Both parse every
record, clean all columns by the same rules, choose the current row of each key, write the three tables as Parquet
and answer the questions. Spark computes content hashes besides. The session is warm: the second run counts. Exit code 1
when Spark took more than BAR times as long.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psutil
from pipeline_contracts.names import KINDS
from pipeline_transforms import answers, cleaning, hashing, versions
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session, jvm_pid, stop_session

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).parent))
import answers_data
import recompute

BAR = 8.0
Seconds = dict[str, float]


@contextmanager
def timed(seconds: Seconds, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)


def cpu_s(pid: int | None) -> float:
    """CPU seconds of a process and its children so far; unlike wall time they bear a busy machine."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def spark_run(spark: SparkSession, raw: Path, out: Path, form: str) -> Seconds:
    seconds: Seconds = {}
    cpu_before = cpu_s(jvm_pid())
    shutil.rmtree(out, ignore_errors=True)
    with timed(seconds, "total"):
        silver = {}
        for kind in KINDS:
            with timed(seconds, kind):
                lines = spark.read.text(str(raw / f"{kind}.jsonl"))
                cleaned = cleaning.clean(hashing.with_content_hash(_records(lines)), kind)
                current = versions.current_rows(cleaning.good_rows(cleaned, kind))
                current.write.format(form).save(str(out / kind))
            silver[kind] = spark.read.format(form).load(str(out / kind))
        with timed(seconds, "answers"):
            joined = answers.posts_of(**silver)
            posts = answers.Posts(joined.posts.cache(), joined.users)
            for answer in {**answers.ANSWERS, **answers.COUNTS}.values():
                answer(posts, answers.Policies()).collect()
            posts.posts.unpersist()
    seconds["cpu"] = round(cpu_s(jvm_pid()) - cpu_before, 2)
    return seconds


def _records(lines: DataFrame) -> DataFrame:
    return lines.select(
        fn.lit("log").alias("log_id"),
        fn.lit(0).alias("partition"),
        fn.monotonically_increasing_id().alias("offset"),
        fn.lit("2026-01-01").cast("timestamp").alias("recorded_at"),
        "value",
    )


def duckdb_run(raw: Path, out: Path) -> Seconds:
    seconds: Seconds = {}
    out.mkdir(parents=True, exist_ok=True)
    cpu_before = time.process_time()
    with timed(seconds, "total"), duckdb.connect() as db:
        with timed(seconds, "silver"):
            recompute.load(db, raw)
            for kind in KINDS:
                db.execute(f"COPY {kind}s TO '{out / kind}.parquet'")
        with timed(seconds, "answers"):
            for sql in recompute.questions(recompute.Defaults()).values():
                db.sql(sql).fetchall()
    seconds["cpu"] = round(time.process_time() - cpu_before, 2)
    return seconds


def posts_in(folder: Path, posts: int) -> Path:
    """The made-up raw files, as an earlier run made them, or made now; what was cut off is made anew."""
    raw, draft = folder / f"raw-{posts}", folder / "draft"
    if not raw.exists():
        shutil.rmtree(draft, ignore_errors=True)
        answers_data.write_posts(draft, posts)
        draft.rename(raw)
    return raw


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=400_000)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--jars", type=Path)
    parser.add_argument("--heap", default="2g")
    parser.add_argument("--format", default="parquet", choices=["parquet", "delta"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "answers-benchmark")
    options = parser.parse_args()
    raw = posts_in(options.folder, options.posts)
    size = sum(path.stat().st_size for path in raw.iterdir())
    print(json.dumps({"posts": options.posts, "raw_mb": round(size / 1e6), "cores": os.cpu_count()}))
    plain = min((duckdb_run(raw, options.folder / "duckdb") for _ in range(2)), key=lambda run: run["total"])
    print(json.dumps({"duckdb": plain, "duckdb_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
    config = SessionConfig("benchmark", JvmConfig(jars_dir=options.jars, heap=options.heap))
    spark = build_session(config)
    try:
        runs = [spark_run(spark, raw, options.folder / "spark", options.format) for _ in range(options.runs)]
        pid = jvm_pid()
        memory = psutil.Process(pid).memory_info().rss if pid else 0
        for number, run in enumerate(runs, 1):
            print(json.dumps({"run": number, "spark": run}))
        ratio = runs[-1]["total"] / plain["total"]
        by_cpu = round(runs[-1]["cpu"] / plain["cpu"], 2)
        print(
            json.dumps(
                {
                    "cpu_ratio": by_cpu,
                    "jvm_rss_mb": memory >> 20,
                    "ratio": round(ratio, 2),
                    "bar": BAR,
                    "passed": ratio <= BAR,
                }
            )
        )
        return 0 if ratio <= BAR else 1
    finally:
        stop_session(spark)


if __name__ == "__main__":
    sys.exit(main())
