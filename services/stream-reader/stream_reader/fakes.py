"""Small stand-ins with the real interfaces."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pipeline_contracts.kinesis import StreamSummary
from pipeline_contracts.names import Kind
from spark_kit.lake import Transaction

from stream_reader.batch import Progress
from stream_reader.streams import StreamError, StreamMissingError

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
    lastProgress: object | None = {}  # noqa: N815 (PySpark's name)

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


class MemoryTables:
    """Tables in memory: appends, each transaction once; reads."""

    def __init__(self, schemas: Mapping[str, pa.Schema]) -> None:
        self._portions: dict[str, list[pa.Table]] = {table: [schema.empty_table()] for table, schema in schemas.items()}
        self._done: dict[tuple[str, str], int] = {}
        self.appends: list[str] = []

    def append(self, table: str, rows: pa.Table, transaction: Transaction) -> None:
        """See ``DeltaTables``.

        Raises:
            ValueError: the columns are not the table's.
        """
        self.appends.append(table)
        if transaction.version <= self._done.get((table, transaction.application), -1):
            return
        self._done[table, transaction.application] = transaction.version
        schema = self._portions[table][0].schema
        if (rows.schema.names, rows.schema.types) != (schema.names, schema.types):
            raise ValueError(f"{table}: {rows.schema}")
        self._portions[table].append(rows)

    def read(
        self, table: str, columns: Sequence[str], where: pc.Expression | None = None, since: int | None = None
    ) -> Iterator[pa.Table]:
        """See ``DeltaTables``."""
        for rows in self._portions[table][0 if since is None else since + 1 :]:
            if found := (rows if where is None else rows.filter(where)).select(list(columns)):
                yield found

    def clear(self, table: str) -> None:
        """Forget a table's rows."""
        del self._portions[table][1:]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        return [row for portion in self._portions[table] for row in portion.to_pylist()]
