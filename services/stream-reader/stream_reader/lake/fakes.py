"""Tables in memory, with the interface of the real ones."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.types import StructType
from spark_kit.lake import Transaction

from stream_reader.lake.tables import State


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
