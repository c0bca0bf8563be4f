"""Starts the query of one stream."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from deltalake.exceptions import DeltaError
from kinesis_source import read_stream
from pipeline_contracts.lake import STREAM_QUARANTINE
from pipeline_contracts.names import Kind
from pyspark.sql import SparkSession
from service_kit.retries import RetryPolicy

from stream_reader.lake.failures import FAILURES, TableError
from stream_reader.lake.tables import kind_tables
from stream_reader.queries.batch import BatchWriter, Sink, Source
from stream_reader.queries.beginning import Beginning, begin
from stream_reader.queries.checkpoints import checkpoint_folder
from stream_reader.queries.decode import read_rows
from stream_reader.queries.query import Running
from stream_reader.queries.rejects import RejectWindow
from stream_reader.queries.streams import Streams
from stream_reader.settings import Settings


@dataclass(frozen=True)
class Launcher:
    """What ``StreamQuery`` calls to start."""

    spark: SparkSession
    settings: Settings
    sink: Sink
    streams: Streams
    rejects: Mapping[Kind, RejectWindow]
    _mending: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __call__(self, kind: Kind, log_id: str) -> tuple[BatchWriter, Running]:
        """Start the query of a kind; blocks for the time that ``begin`` takes.

        Raises:
            PySparkException: it could not be started.
            TableError: a table of this kind cannot be used.
            OSError: the checkpoint's folder cannot be used.
        """
        settings = self.settings
        stream = settings.names.stream(kind)
        folder = checkpoint_folder(settings.state_dir, kind, log_id)
        try:
            begun = self._begin(kind, log_id, folder)
        except TableError as error:
            if error.table != STREAM_QUARANTINE:
                raise
            self._set_damaged_quarantine_aside()
            begun = self._begin(kind, log_id, folder)
        # A batch asks Kinesis again for as long as the source does.
        retries = RetryPolicy(settings.source_retry_s, longest_wait_s=2.0, clock=self.sink.clock)
        source = Source(kind, stream, log_id)
        writer = BatchWriter(source, self.sink, self.streams, begun, self.rejects[kind], retries)
        # Jobs of different pools take turns; a query's thread keeps the pool of the one that starts it.
        self.spark.sparkContext.setLocalProperty("spark.scheduler.pool", kind)
        records = read_stream(self.spark, self.source_options(kind))
        query = (
            read_rows(records, kind, log_id)
            .writeStream.foreachBatch(writer)
            .queryName(settings.names.stream_table(kind))
            .option("checkpointLocation", str(folder))
            .trigger(processingTime=f"{settings.trigger_interval_ms} milliseconds")
            .start()
        )
        writer.query_id.set_result(query.id)
        return writer, query

    def _begin(self, kind: Kind, log_id: str, folder: Path) -> Beginning:
        self._make_tables(kind)
        return begin(self.sink.tables, self.settings.names, kind, log_id, folder)

    def _set_damaged_quarantine_aside(self) -> None:
        """All kinds share it, so its damage must stop none: each finds it lost, and reads its stream again."""
        tables = self.sink.tables
        with self._mending:
            try:
                if tables.found(STREAM_QUARANTINE) is not None:
                    deque(tables.read(STREAM_QUARANTINE, ("partition", "offset")), maxlen=0)
            except (DeltaError, pa.ArrowException, FileNotFoundError) as error:
                tables.set_aside(STREAM_QUARANTINE, error, self.sink.clock.now())

    def _make_tables(self, kind: Kind) -> None:
        """Those that this kind's batches go to, where they are not there (any more)."""
        tables, names = self.sink.tables, self.settings.names
        for table, (schema, properties) in kind_tables(names, kind).items():
            try:
                if tables.found(table) is None:
                    tables.create(table, schema, properties)
            except FAILURES as error:
                raise TableError(table, error) from error

    def source_options(self, kind: Kind) -> Mapping[str, str]:
        """Those of Databricks' source; the last ones are our source's own."""
        settings = self.settings
        endpoint = {} if settings.aws_endpoint_url is None else {"endpoint": settings.aws_endpoint_url}
        return {
            "streamName": settings.names.stream(kind),
            "region": settings.aws_region,
            **endpoint,
            "initialPosition": "trim_horizon",
            "fetchBufferSize": f"{settings.fetch_buffer_mib}mb",
            "failOnDataLoss": str(settings.fail_on_data_loss).lower(),
            "maxRecordsPerTrigger": str(settings.max_records),
            "spoolDir": str(settings.state_dir / "spool"),
            "pollInterval": f"{settings.poll_interval_ms}ms",
            "retryDeadline": f"{settings.source_retry_s:g}s",
        }
