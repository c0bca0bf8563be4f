"""An analysis end to end: objects in S3 to answers in Delta, from scratch and with 10,000 posts on top.

Run ``.venv/bin/python benchmarks/analysis.py --posts 10000 400000``. Objects are written straight into a LocalStack
of its own, in the sink's format, ``--rows`` records each. Per size: seconds of listing, fetching (with unpacking,
decoding and hashing), bronze, ledger, clean, answers, audit; CPU seconds of JVM and Python workers beside them. The
session is warmed up by a small analysis in another lake.
"""

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import psutil
from batch_analyser.jobs import answers, audit, clean, ingest
from batch_analyser.settings import AnalyserSettings
from botocore.config import Config
from pipeline_contracts import objects
from pipeline_contracts.names import TOPIC_PARTITIONS, Kind, Names
from pipeline_contracts.objects import ObjectName
from pipeline_local.layout import Layout
from pyspark.sql import SparkSession
from spark_kit.session import build_session, jvm_pid, stop_session

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from emitter.sources.choose import open_source
from emitter.sources.source import Taken
from servers import LocalStack

MORE_POSTS = 10_000
WARM_POSTS = 300
MOST_WAITING = 64
START = datetime(2026, 1, 1)  # noqa: DTZ001  # written with a Z behind it

Lane = tuple[Kind, int]


class Archive:
    """What the sink would have written by now."""

    def __init__(self, endpoint_url: str, pipeline_id: str, rows_per_object: int) -> None:
        self._names = Names(pipeline_id)
        config = Config(max_pool_connections=16)
        self._client = boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1", config=config)
        self._client.create_bucket(Bucket=self._names.bucket)
        self._source = open_source(None, 1)
        self._rows = self._source.rows(Taken())
        self._rows_per_object = rows_per_object
        self._next: dict[Lane, int] = {}

    def write(self, posts: int) -> dict[str, int]:
        """Archive so many more posts, three events each; blocks until all objects are there."""
        cut: dict[Lane, list[bytes]] = {}
        puts: list[Future[int]] = []
        with ThreadPoolExecutor(8) as pool:
            for number, row in enumerate(islice(self._rows, posts * 3)):
                lane = (row.kind, number // 3 % TOPIC_PARTITIONS)
                lines = cut.setdefault(lane, [])
                lines.append(self._line(lane, row.value))
                if len(lines) == self._rows_per_object:
                    puts.append(pool.submit(self._put, lane, self._next[lane], cut.pop(lane)))
                    if len(puts) > MOST_WAITING:
                        puts[-MOST_WAITING].result()
            puts += [pool.submit(self._put, lane, self._next[lane], lines) for lane, lines in cut.items()]
            return {"records": posts * 3, "objects": len(puts), "bytes": sum(put.result() for put in puts)}

    def _line(self, lane: Lane, value: bytes) -> bytes:
        offset = self._next.get(lane, 0)
        self._next[lane] = offset + 1
        moment = START + timedelta(milliseconds=offset)
        stamp = moment.isoformat(timespec="milliseconds").encode()
        return b'{"offset":%d,"value":%b,"key":null,"timestamp":"%bZ"}\n' % (offset, value, stamp)

    def _put(self, lane: Lane, beyond: int, lines: list[bytes]) -> int:
        kind, partition = lane
        first = beyond - len(lines)
        body = gzip.compress(b"".join(lines), 6, mtime=0)
        self._client.put_object(
            Bucket=self._names.bucket,
            Key=ObjectName(self._names.topic(kind), partition, first).key,
            Body=body,
            Metadata={objects.LOG_ID: kind, objects.FIRST_OFFSET: str(first), objects.NEXT_OFFSET: str(beyond)},
        )
        return len(body)


@contextmanager
def timed(into: dict[str, float], name: str) -> Iterator[None]:
    """Wall seconds, and CPU seconds of the JVM and its Python workers."""
    java, python = cpu_seconds()
    start = time.perf_counter()
    yield
    into[name] = round(time.perf_counter() - start, 2)
    java_now, python_now = cpu_seconds()
    into[f"{name}_cpu"] = round(java_now - java + python_now - python, 2)


def cpu_seconds() -> tuple[float, float]:
    """Of the JVM; of its children, ended ones included."""
    jvm = psutil.Process(jvm_pid())
    times = jvm.cpu_times()
    children = times.children_user + times.children_system
    for child in jvm.children(recursive=True):
        spent = child.cpu_times()
        children += spent.user + spent.system + spent.children_user + spent.children_system
    return times.user + times.system, children


def analyse(spark: SparkSession, settings: AnalyserSettings) -> dict[str, float]:
    """One run of the job; seconds per task, and of ingest per step."""
    seconds: dict[str, float] = {}
    with timed(seconds, "ingest"):
        report = ingest.run(spark, settings)
    seconds |= {f"ingest_{step}": spent for step, spent in report.seconds.items()}
    with timed(seconds, "clean"):
        cleaned = clean.run(spark, settings)
    seconds |= {f"clean_{kind}": done.seconds for kind, done in cleaned.kinds.items()}
    with timed(seconds, "answers"):
        answers.run(spark, settings)
    with timed(seconds, "audit"):
        assert audit.run(spark, settings, recount=False).ok
    seconds["total"] = round(sum(seconds[task] for task in ("ingest", "clean", "answers", "audit")), 2)
    return seconds


def measure(spark: SparkSession, settings: AnalyserSettings, posts: int, rows: int) -> dict[str, Any]:
    """From scratch, with more on top, and with nothing new."""
    archive = Archive(str(settings.aws_endpoint_url), settings.pipeline_id, rows)
    result: dict[str, Any] = {"posts": posts, "archive": archive.write(posts), "scratch": analyse(spark, settings)}
    archive.write(MORE_POSTS)
    result[f"more_{MORE_POSTS}"] = analyse(spark, settings)
    result["nothing_new"] = analyse(spark, settings)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, nargs="+", default=[10_000, 400_000])
    parser.add_argument("--rows", type=int, default=1_000, help="records per object")
    parser.add_argument("--heap", default="1g")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    layout = Layout.of_checkout()
    with tempfile.TemporaryDirectory() as name, LocalStack(Path(name) / "localstack") as localstack:
        folder = Path(name)

        def settings(size: str) -> AnalyserSettings:
            values: dict[str, Any] = {
                "PIPELINE_ID": f"bench-{size}",
                "LAKE_URI": (folder / f"lake-{size}").as_uri(),
                "AWS_ENDPOINT_URL": localstack.endpoint_url,
                "SPARK_JARS_DIR": layout.spark_jars,
                "SPARK_ARCHIVE_DIR": layout.class_archives,
                "heap": arguments.heap,
            }
            return AnalyserSettings(**values)

        spark = build_session(settings("warm").session())
        try:
            Archive(localstack.endpoint_url, "bench-warm", arguments.rows).write(WARM_POSTS)
            warm = {"posts": WARM_POSTS, "scratch": analyse(spark, settings("warm"))}
            results = [measure(spark, settings(str(posts)), posts, arguments.rows) for posts in arguments.posts]
        finally:
            stop_session(spark)
    for result in [warm, *results]:
        print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps({"warm_up": warm, "sizes": results}, indent=1))


if __name__ == "__main__":
    main()
