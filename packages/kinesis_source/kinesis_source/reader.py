"""The classes that Spark calls. Keep them importable without boto3: a task that reads from the spool needs none.

Spark makes readers in three places: one that lives with the query and plans its batches (only there a ``Driver`` is
made), one that is pickled for the tasks, and copies of that in the workers. Spark ends the first with no word.
"""

import os
import threading
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, ReadMaxRows, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType
from service_kit.retries import RetryPolicy

from kinesis_source import records, spool
from kinesis_source.identity import StreamId
from kinesis_source.offsets import from_json
from kinesis_source.options import Options, parse_options

if TYPE_CHECKING:
    from kinesis_source.driver import Driver
    from kinesis_source.stream import Stream

FORMAT = "kinesis"
_registering = threading.Lock()
_streams: dict[tuple[int, Options], "Stream"] = {}
"""Clients of this worker process, which serves many tasks. The process id is in the key because workers are forked."""


def register(spark: SparkSession) -> bool:
    """Make ``spark.readStream.format("kinesis")`` known; False where the platform brings its own (Databricks)."""
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return False
    spark.dataSource.register(KinesisDataSource)
    return True


def read_stream(spark: SparkSession, options: Mapping[str, str]) -> DataFrame:
    """``readStream.format("kinesis")`` with these options, loaded; for sessions with more than one query.

    Each query gets a registration of its own. Spark (4.2, ``PythonStreamingSourceRunner.init``) puts variables into a
    map of the registered source whenever a query starts, without a lock. Queries of one registration that start at the
    same time can leave it with a wrong size, and from then on every batch of theirs fails: OptionalDataException.
    """
    with _registering:
        register(spark)
        return spark.readStream.format(FORMAT).options(**options).load()


class KinesisDataSource(DataSource):
    """``format("kinesis")``. Options are checked here, so that ``load()`` already names a wrong one."""

    def __init__(self, options: MutableMapping[str, str]) -> None:
        super().__init__(options)
        self._options = parse_options(dict(options.items()))

    @classmethod
    def name(cls) -> str:
        """The format's name."""
        return FORMAT

    def schema(self) -> str:
        """Databricks' schema."""
        return records.SPARK_SCHEMA

    def streamReader(self, schema: StructType) -> "KinesisStreamReader":  # noqa: ARG002, N802 - Spark's name
        """A reader that has made no request yet."""
        return KinesisStreamReader(self._options)


@dataclass(frozen=True)
class Piece:
    """Rows of one spool file, and the sequence numbers of the first and the last. Without a file, only these.

    ``records`` is None where it is not known, as in a checkpoint of an earlier version.
    """

    first: str
    last: str
    records: int | None
    path: str | None = None
    first_row: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Range:
    """Records of one shard: consecutive pieces, to be read from Kinesis where there is no file."""

    shard_id: str
    pieces: Sequence[Piece]


class KinesisPartition(InputPartition):
    """What one task reads."""

    def __init__(self, stream: StreamId, ranges: Sequence[Range]) -> None:
        super().__init__(None)
        self.stream, self.ranges = stream, ranges


class KinesisStreamReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """See ``Driver`` for what the methods do; this class translates."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._driver: Driver | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_options": self._options, "_driver": None}

    def initialOffset(self) -> dict[str, Any]:  # noqa: N802 - Spark's name, as all below
        """Where a query without a checkpoint begins."""
        return self._made_driver().initial_offset()

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802
        """Read what is there by now."""
        self._made_driver().prepare_available_now()

    def getDefaultReadLimit(self) -> ReadLimit:  # noqa: N802
        """``maxRecordsPerTrigger``."""
        most = self._options.max_records_per_trigger
        return ReadAllAvailable() if most is None else ReadMaxRows(most)

    def latestOffset(self, start: dict[str, Any], limit: ReadLimit) -> dict[str, Any]:  # noqa: N802
        """The end of the next batch."""
        return self._made_driver().latest_offset(start, limit.max_rows if isinstance(limit, ReadMaxRows) else None)

    def reportLatestOffset(self) -> dict[str, Any] | None:  # noqa: N802
        """How far behind the shards are, for the query's progress."""
        return self._made_driver().report()

    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> Sequence[KinesisPartition]:
        """The batch's ranges, ``shardsPerTask`` of them in a task. They depend on ``end`` alone."""
        if start == end:
            return []
        offset = from_json(end)
        ranges = [
            Range(shard_id, self._pieces(shard_id, first, last, count))
            for shard_id, first, last, count in offset.ranges()
        ]
        tasks = self._tasks(len(ranges))
        return [KinesisPartition(offset.stream, ranges[number::tasks]) for number in range(tasks)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Rows of one task; from the spool where it holds them. Blocks where they come from Kinesis."""
        if not isinstance(partition, KinesisPartition):
            raise TypeError(f"{type(partition).__name__} is not a partition of this source")
        for part in partition.ranges:
            for piece in part.pieces:
                batch = _from_spool(piece)
                if batch is not None:
                    yield batch
                else:
                    yield from _from_kinesis(self._options, partition.stream, part.shard_id, piece)

    def commit(self, end: dict[str, Any]) -> None:
        """Comes late: after the next batch was planned, and never for the last one."""
        self._made_driver().commit(end)

    def stop(self) -> None:
        """Called only where the JVM ends the connection in order."""
        if self._driver is not None:
            self._driver.stop()

    def _pieces(self, shard_id: str, first: str, last: str, count: int | None) -> Sequence[Piece]:
        chunks = self._made_driver().pieces(shard_id, first, last)
        spooled = [
            Piece(chunk.first, chunk.last, chunk.records, chunk.path, chunk.first_row, chunk.rows) for chunk in chunks
        ]
        return spooled or [Piece(first, last, count)]

    def _tasks(self, ranges: int) -> int:
        most = self._options.max_partitions
        return min(ranges, most) if most is not None else -(-ranges // self._options.shards_per_task)

    def _made_driver(self) -> "Driver":
        if self._driver is None:
            from kinesis_source.connect import connect  # noqa: PLC0415 - see the module's docstring
            from kinesis_source.driver import Driver  # noqa: PLC0415
            from kinesis_source.prefetch import MAX_THREADS  # noqa: PLC0415

            options = self._options
            self._driver = Driver(
                connect(options, MAX_THREADS + 1),
                options,
                spool.Spool(options.spool_dir or spool.default_folder(options.fetch_buffer_bytes)),
                retries=RetryPolicy(options.retry_deadline_s),
            )
        return self._driver


def _from_spool(piece: Piece) -> pa.RecordBatch | None:
    if piece.path is None:
        return None
    return spool.read(piece.path, piece.first_row, piece.rows)


def _from_kinesis(options: Options, expected: StreamId, shard_id: str, piece: Piece) -> Iterator[pa.RecordBatch]:
    from kinesis_source.connect import connect  # noqa: PLC0415 - see the module's docstring
    from kinesis_source.replay import Wanted, read_range  # noqa: PLC0415

    key = (os.getpid(), options)
    if key not in _streams:
        _streams[key] = connect(options, connections=1)
    retries = RetryPolicy(options.retry_deadline_s)
    wanted = Wanted(shard_id, piece.first, piece.last, piece.records)
    for found in read_range(_streams[key], expected, wanted, options=options, retries=retries):
        yield records.rows(found, options.stream, shard_id)
