"""Small stand-ins with the real interfaces."""

from concurrent.futures import Future
from typing import Any

from pipeline_contracts.kinesis import StreamSummary
from pipeline_contracts.names import KINDS, Kind, Names
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructType
from spark_kit.lake import Transaction

from stream_reader.batch import Progress
from stream_reader.streams import StreamError, StreamMissingError
from stream_reader.tables import QUARANTINE, QUARANTINE_SCHEMA, rows_schema, stream_table

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/"


def log_id(name: str, created_s: float) -> str:
    """The log id of a stream that was made then."""
    return StreamSummary(ARN + name, created_s).log_id


class FakeStreams:
    """Kinesis, as far as it describes streams. A stream that is not in ``created`` is missing."""

    def __init__(self, **created: float) -> None:
        self.created = {name.replace("_", "-"): value for name, value in created.items()}
        self.away = False

    def describe(self, name: str) -> StreamSummary:
        """See ``Streams``."""
        if self.away:
            raise StreamError("Kinesis is away")
        if name not in self.created:
            raise StreamMissingError(f"there is no stream {name}")
        return StreamSummary(ARN + name, self.created[name])


class FakeWriter:
    """What a query needs to know of its batch function."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.closed = False
        self.query_id: Future[str] = Future()

    def close(self, deadline_s: float) -> bool:  # noqa: ARG002 (the interface)
        """Nothing runs."""
        self.closed = True
        return True


class FakeRunning:
    """A streaming query."""

    id = "q"

    def __init__(self) -> None:
        self.isActive = True
        self.available = True
        self.error: Exception | None = None

    @property
    def status(self) -> dict[str, Any]:
        """Whether there is more."""
        return {"isDataAvailable": self.available}

    def exception(self) -> Exception | None:
        """What ``fail`` was given."""
        return self.error

    def stop(self) -> None:
        """End in order."""
        self.isActive = False

    def fail(self, error: Exception | None) -> None:
        """End by itself."""
        self.isActive, self.error = False, error


class FakeLaunch:
    """Starts fake queries, and remembers them."""

    def __init__(self) -> None:
        self.started: list[tuple[Kind, str]] = []
        self.fails: Exception | None = None

    def __call__(self, kind: Kind, log_id: str) -> Any:
        """Start one, or fail with ``fails``."""
        if self.fails is not None:
            raise self.fails
        self.started.append((kind, log_id))
        self.writer, self.query = FakeWriter(), FakeRunning()
        return self.writer, self.query


class MemoryLake:
    """Tables in memory: appends, each transaction once; reads."""

    def __init__(self, spark: SparkSession, names: Names) -> None:
        self._spark = spark
        self._schemas: dict[str, StructType | str] = {stream_table(names, kind): rows_schema(kind) for kind in KINDS}
        self._schemas[QUARANTINE] = QUARANTINE_SCHEMA
        self._names = names
        self._done: dict[tuple[str, str], int] = {}
        self.tables: dict[str, list[Row]] = {table: [] for table in self._schemas}
        self.appends: list[str] = []

    def append(
        self, table: str, rows: DataFrame, note: str | None = None, transaction: Transaction | None = None
    ) -> None:
        """See ``DeltaLake``.

        Raises:
            ValueError: the columns are not the table's.
        """
        del note
        self.appends.append(table)
        if transaction is not None:
            last = self._done.get((table, transaction.application), -1)
            if transaction.version <= last:
                return
            self._done[table, transaction.application] = transaction.version
        if rows.schema.simpleString() != self.read(table).schema.simpleString():
            raise ValueError(f"{table}: {rows.schema.simpleString()}")
        self.tables[table] += rows.collect()

    def read(self, table: str) -> DataFrame:
        """See ``DeltaLake``."""
        return self._spark.createDataFrame(self.tables[table], self._schemas[table])

    def good(self, kind: Kind = "pin") -> list[dict[str, Any]]:
        """The rows of a kind."""
        return [row.asDict() for row in self.tables[stream_table(self._names, kind)]]

    def bad(self) -> list[dict[str, Any]]:
        """The quarantined rows."""
        return [row.asDict() for row in self.tables[QUARANTINE]]
