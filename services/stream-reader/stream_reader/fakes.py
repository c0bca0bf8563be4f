"""Small stand-ins with the real interfaces."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from copy import deepcopy
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pipeline_contracts.names import Kind
from pyspark.sql.types import StructType
from service_kit.clock import Clock
from spark_kit.lake import Transaction

from stream_reader.batch import Progress
from stream_reader.tables import State


class FakeWriter:
    """What a query needs to know of its batch function."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.closed = False
        self.lost_table: str | None = None
        self.fails: Exception | None = None
        self.query_id: Future[str] = Future()

    def lost(self) -> str | None:
        """What ``lost_table`` says, or ``fails``."""
        if self.fails is not None:
            raise self.fails
        return self.lost_table

    def close(self, deadline_s: float) -> bool:  # noqa: ARG002 (the interface)
        """Nothing runs."""
        self.closed = True
        return True


class FakeRunning:
    """A streaming query."""

    id = "q"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.looks = True
        """Whether it comes round, again and again."""
        self.behind_ms = 0
        self.unanswered = 0
        self._progress: Mapping[str, Any] | None = None
        self.isActive = True
        self.available = True
        self.error: Exception | None = None

    @property
    def lastProgress(self) -> Mapping[str, Any] | None:  # noqa: N802 (PySpark's name)
        """The last look; there is one whenever it is asked for while it ``looks``."""
        if self.looks:
            report = json.dumps({"behind_ms": self.behind_ms, "shards": {}, "unanswered": self.unanswered})
            self._progress = {"timestamp": self._clock.monotonic(), "sources": [{"latestOffset": report}]}
        return self._progress

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

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.looks = True
        self.started: list[tuple[Kind, str]] = []
        self.fails: Exception | None = None

    def __call__(self, kind: Kind, log_id: str) -> Any:
        """Start one, or fail with ``fails``."""
        if self.fails is not None:
            raise self.fails
        self.started.append((kind, log_id))
        self.writer, self.query = FakeWriter(), FakeRunning(self._clock)
        self.query.looks = self.looks
        return self.writer, self.query


class MemoryTables:
    """Tables in memory: appends, each transaction once; reads."""

    def __init__(self, schemas: Mapping[str, pa.Schema]) -> None:
        self._schemas = dict(schemas)
        self._portions: dict[str, list[pa.Table]] = {table: [schema.empty_table()] for table, schema in schemas.items()}
        self._done: dict[tuple[str, str], int] = {}
        self._made = 0
        self._ids = {table: f"{table} 0" for table in schemas}
        self.appends: list[str] = []

    def found(self, table: str) -> State | None:
        """See ``DeltaTables``."""
        return None if table not in self._portions else (self._ids[table], self.version(table))

    def create(self, table: str, schema: StructType, properties: Mapping[str, str]) -> None:  # noqa: ARG002
        """See ``DeltaTables``; it holds those tables only that it was made with."""
        if table not in self._portions:
            self._portions[table] = [self._schemas[table].empty_table()]
            self.make_anew(table)

    def set_aside(self, table: str, why: BaseException, now: datetime | None = None) -> None:  # noqa: ARG002
        """See ``DeltaTables``."""
        del self._portions[table]

    def version(self, table: str) -> int:
        """See ``DeltaTables``."""
        return len(self._portions[table]) - 1

    def transaction(self, table: str, application: str) -> int | None:
        """See ``DeltaTables``."""
        return self._done.get((table, application))

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

    def make_anew(self, table: str) -> None:
        """Another table takes the place of this one, without a row."""
        del self._portions[table][1:]
        self._made += 1
        self._ids[table] = f"{table} {self._made}"
        self._done = {key: version for key, version in self._done.items() if key[0] != table}

    def copied(self) -> "MemoryTables":
        """The tables as they are now, to be put back later."""
        return deepcopy(self)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        return [row for portion in self._portions[table] for row in portion.to_pylist()]
