"""Runs everything once before it counts.

The first batch of a JVM takes many times as long as the next ones. So a made-up one is played through, into tables of
its own, before the service says that it is ready.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pipeline_contracts.kinesis import StreamSummary
from pipeline_contracts.lake import stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from prometheus_client import CollectorRegistry
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from service_kit.clock import SystemClock
from service_kit.retries import RetryPolicy

from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.failures import FAILURES, brief
from stream_reader.lake.tables import create_all
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals
from stream_reader.popularity.posts import Posts
from stream_reader.popularity.profiles import Profiles
from stream_reader.queries.batch import BatchWriter, Sink, Source
from stream_reader.queries.beginning import begin
from stream_reader.queries.decode import read_rows
from stream_reader.queries.rejects import RejectWindow

logger = logging.getLogger(__name__)

_STREAM = StreamSummary("arn:aws:kinesis:::stream/rehearsal", 0.0)
_ROWS: dict[Kind, dict[str, object]] = {
    "pin": {"index": 1, "unique_id": "u", "title": "t", "poster_name": "p", "follower_count": "1k", "category": "c"},
    "geo": {"ind": 1, "timestamp": "2020-01-01 00:00:00", "latitude": 1.0, "longitude": 1.0, "country": "x"},
    "user": {"ind": 1, "first_name": "a", "last_name": "b", "age": 30, "date_joined": "2020-01-01 00:00:00"},
}


class _OneStream:
    def describe(self, name: str) -> StreamSummary:  # noqa: ARG002 (the interface)
        """See ``Streams``."""
        return _STREAM


def rehearse(spark: SparkSession, names: Names, folder: Path, go_on: Callable[[], bool]) -> None:
    """Play one record of each kind through; blocks for some seconds. ``folder`` is emptied before and after.

    Ends early where ``go_on`` says so.

    Raises:
        PySparkException: Spark failed, so it would fail on real records, too.
    """
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    tables = DeltaTables(folder.as_uri())
    create_all(tables, names)
    metrics, arrivals = Metrics(CollectorRegistry()), Arrivals(1_000_000)
    sink = Sink(tables, names, arrivals, metrics, Latencies(metrics.table_latency), SystemClock())
    for kind in KINDS:
        if go_on():
            source, rejects = Source(kind, kind, _STREAM.log_id), RejectWindow(10, 0.5, sink.clock)
            begun = begin(tables, names, kind, _STREAM.log_id, folder / "checkpoints" / kind)
            writer = BatchWriter(source, sink, _OneStream(), begun, rejects, RetryPolicy(0))
            writer.query_id.set_result(kind)
            writer(read_rows(_frame(spark, kind), kind, _STREAM.log_id), 0)
    if go_on():
        with closing(Posts(folder / "posts.sqlite")) as posts:
            profiles = Profiles(tables, names, posts, 1.0)
            profiles.start()
            profiles.put(arrivals.take())
            profiles.commit(datetime.now(UTC), {stream_table(names, kind): 0 for kind in KINDS})
    shutil.rmtree(folder, ignore_errors=True)
    logger.info("rehearsed", extra={"seconds": round(time.monotonic() - started, 1)})


def try_rehearsal(rehearsal: Callable[[], None]) -> None:
    """Rehearse; where that fails, as on a full disk, say so and go on: each query then tells of its own trouble."""
    try:
        rehearsal()
    except (PySparkException, Py4JError, *FAILURES) as error:
        logger.warning("the first batch could not be rehearsed", extra={"reason": brief(error)})


def _frame(spark: SparkSession, kind: Kind) -> DataFrame:
    """A good record and a bad one, as Kinesis gives them."""
    columns = {
        "partitionKey": ["1", "1"],
        "data": [json.dumps(_ROWS[kind]).encode(), b"x"],
        "stream": [kind, kind],
        "shardId": ["s", "s"],
        "sequenceNumber": ["1", "2"],
        "approximateArrivalTimestamp": pa.array([datetime.now(UTC)] * 2, pa.timestamp("us", "UTC")),
    }
    return spark.createDataFrame(pa.table(columns))
