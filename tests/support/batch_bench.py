"""The batches of one stream, on static frames, over tables in memory."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Kind, Names
from prometheus_client import CollectorRegistry
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy
from stream_reader.lake.fakes import MemoryTables
from stream_reader.lake.tables import QUARANTINE_SCHEMA, rows_schema
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals
from stream_reader.queries.batch import BatchWriter, Sink, Source
from stream_reader.queries.beginning import begin
from stream_reader.queries.decode import read_rows
from stream_reader.queries.fake_streams import FakeStreams, log_id
from stream_reader.queries.rejects import RejectWindow

KINESIS = (
    "partitionKey string, data binary, stream string, shardId string, sequenceNumber string, "
    "approximateArrivalTimestamp timestamp"
)
NAMES = Names("t")
ARRIVED = datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC)
PIN = {
    "index": 7,
    "unique_id": "u",
    "title": "Ünïcode 🙂 ",
    "poster_name": "a/b",
    "follower_count": "5k",
    "category": "art",
}
GEO = {"ind": 7, "timestamp": "2020-01-02 03:04:05", "latitude": 1.5, "longitude": 2.5, "country": "Chad"}


def as_bytes(value: Any) -> bytes | None:
    """Bytes as they are, everything else as its JSON."""
    return value if value is None or isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()


def arrow_schema(spark: SparkSession, schema: StructType) -> pa.Schema:
    """A table's columns, as Spark gives them to Python."""
    return spark.createDataFrame([], schema).toArrow().schema


class BatchBench:
    """One stream's batches."""

    def __init__(self, spark: SparkSession, folder: Path, kind: Kind = "pin") -> None:
        self.spark, self.kind, self.folder = spark, kind, folder
        table = stream_table(NAMES, kind)
        schemas = {table: rows_schema(kind), STREAM_QUARANTINE: QUARANTINE_SCHEMA}
        self.tables = MemoryTables({name: arrow_schema(spark, schema) for name, schema in schemas.items()})
        self.stream = NAMES.stream(kind)
        self.streams = FakeStreams(**{self.stream: 1.0})
        self.arrivals = Arrivals(1_000_000)
        self.metrics = Metrics(CollectorRegistry())
        self.latencies = Latencies(self.metrics.table_latency)
        self.number = 0
        self.clock = ManualClock()
        self.writer = self.made()

    def made(self, query_id: str = "q", at: Callable[[str], None] = lambda _stage: None) -> BatchWriter:
        self.log_id = log_id(self.stream, self.streams.created[self.stream])
        source = Source(self.kind, self.stream, self.log_id)
        sink = Sink(self.tables, NAMES, self.arrivals, self.metrics, self.latencies, self.clock)
        begun = begin(self.tables, NAMES, self.kind, self.log_id, self.folder / query_id)
        retries = RetryPolicy(15, clock=self.clock)
        rejects = RejectWindow(10, 0.5, self.clock)
        writer = BatchWriter(source, sink, self.streams, begun, rejects, retries, at=at)
        writer.query_id.set_result(query_id)
        return writer

    def good(self) -> list[dict[str, Any]]:
        return self.tables.rows(stream_table(NAMES, self.kind))

    def bad(self) -> list[dict[str, Any]]:
        return self.tables.rows(STREAM_QUARANTINE)

    def frame(self, *values: Any, shard: str = "shardId-000000000000", keys: Sequence[str] = ()) -> DataFrame:
        """The next records of a shard; a tuple is an aggregate, taken apart as the source does."""
        rows = []
        for nth, value in enumerate(values):
            self.number += 1
            arrived = ARRIVED + timedelta(milliseconds=self.number)
            key = keys[nth] if keys else "key"
            for one in value if isinstance(value, tuple) else (value,):
                rows.append((key, as_bytes(one), self.stream, shard, str(self.number), arrived))
        return read_rows(self.spark.createDataFrame(rows, KINESIS), self.kind, self.log_id)
