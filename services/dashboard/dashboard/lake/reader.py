"""Opens tables and asks them. Every question opens its tables anew.

What is kept open notices neither that its table was lost nor that another took its place, and a new table's commits
would be put on top of the old one's. Opening costs a few milliseconds on a disk.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import TableNotFoundError
from pipeline_contracts import damage

_AT_ONCE: Final = 2
_TURN_S: Final = 5.0
_CONFIG: Final = {
    "datafusion.execution.target_partitions": "2",
    "datafusion.execution.batch_size": "4096",
    # Of wide columns only the rows are decoded that the conditions leave: a value may have a megabyte.
    "datafusion.execution.parquet.pushdown_filters": "true",
}


class LakeError(Exception):
    """The lake cannot be read; the message is a line for people."""


class MissingTableError(LakeError):
    """There is no such table (yet, or any more)."""


class DamagedTableError(LakeError):
    """A table is there and cannot be read; the message names it, and what to do."""

    def __init__(self, table: str, reason: str) -> None:
        super().__init__(damage.told(table, reason))
        self.table = table


class BusyError(LakeError):
    """Too many questions at once, or one that takes too long."""


@dataclass(frozen=True)
class At:
    """A table by its path below the lake, at a version or as it is now."""

    table: str
    version: int | None = None


@dataclass(frozen=True)
class State:
    """What tells whether a table changed: a table made in its place has another ``id``, its versions begin at 0."""

    id: str
    version: int


@dataclass(frozen=True)
class Commit:
    """One commit of a table: when, and what its writer noted in it."""

    at: datetime
    note: str | None


class LakeReader:
    """The lake below one URI (``file://…``, ``s3://…`` or a folder). Safe to use from any thread; it only reads.

    Without a URI every question is answered by an error that says so. ``remote_timeout_s`` bounds each request to a
    lake that is not on a disk.
    """

    def __init__(
        self, uri: str | None, storage_options: Mapping[str, str] | None = None, *, remote_timeout_s: float = 10
    ) -> None:
        self._uri = (uri or "").rstrip("/")
        wait = f"{remote_timeout_s:g}s"
        limits = {"timeout": wait, "connect_timeout": wait, "retry_timeout": wait, "max_retries": "2"}
        self._options = {**(limits if self._is_remote else {}), **(storage_options or {})}
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def state(self, table: str) -> State | None:
        """The table's id and newest version; None where there is no table. Blocks for one opening.

        Raises:
            LakeError: it is there and cannot be read.
        """
        try:
            opened = self._opened(At(table))
        except MissingTableError:
            return None
        with self._told([table]):
            return State(str(opened.metadata().id), int(opened.version()))

    def columns(self, at: At) -> list[str]:
        """The table's columns, in their order.

        Raises:
            LakeError: it is not there, or cannot be read.
        """
        opened = self._opened(at)
        with self._told([at.table]):
            return [field.name for field in opened.schema().fields]

    def commits(self, table: str, most: int) -> list[Commit]:
        """The newest commits, the newest first; none where the table is not there. Blocks while their log is read.

        Raises:
            LakeError: it is there and cannot be read.
        """
        try:
            opened = self._opened(At(table))
        except MissingTableError:
            return []
        with self._told([table]):
            return [
                Commit(datetime.fromtimestamp(commit["timestamp"] / 1000, UTC), commit.get("userMetadata"))
                for commit in opened.history(most)
            ]

    def count(self, at: At) -> int:
        """How many rows the table has, by its log; by counting where the log does not say.

        Raises:
            LakeError: it is not there, or cannot be read.
        """
        opened = self._opened(at)
        with self._told([at.table]):
            added = opened.get_add_actions(flatten=True)
            told = added.column("num_records").to_pylist() if "num_records" in added.schema.names else [None]
            # Rows that Delta marks as deleted are in the files' numbers.
            if None not in told and not opened.deletion_vectors().read_all().num_rows:
                return int(sum(told))
        return int(self.rows("SELECT count(*) AS n FROM t", {"t": at}, most=1)[0]["n"])

    def rows(
        self, sql: str, tables: Mapping[str, At], *, most: int, deadline_s: float | None = None
    ) -> list[dict[str, Any]]:
        """The first ``most`` rows of a query over the named tables. Values enter ``sql`` by ``lake.sql`` alone.

        Blocks until they are there. Text, numbers, lists and aware points in time; a map is a list of pairs.

        Raises:
            MissingTableError: a table is not there.
            DamagedTableError: one cannot be read.
            BusyError: other questions did not end in time, or this one did not within ``deadline_s``.
        """
        with self._turn():
            try:
                return self._asked(sql, tables, most, deadline_s)
            except DamagedTableError:
                # Or its files went while it was read, since another took its place: that shows when it is opened again.
                return self._asked(sql, tables, most, deadline_s)

    def _asked(self, sql: str, tables: Mapping[str, At], most: int, deadline_s: float | None) -> list[dict[str, Any]]:
        began = time.monotonic()
        builder = QueryBuilder(_CONFIG)
        for view, at in tables.items():
            builder.register(view, self._opened(at))
        found: list[dict[str, Any]] = []
        with self._told([at.table for at in tables.values()]):
            for batch in builder.execute(sql):
                names = batch.schema.names
                columns = [batch.column(column).to_pylist() for column in names]
                found.extend(dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
                if len(found) >= most:
                    return found[:most]
                if deadline_s is not None and time.monotonic() - began > deadline_s:
                    raise BusyError(f"the tables were not read within {deadline_s:g} s")
        return found

    def _opened(self, at: At) -> DeltaTable:
        if not self._uri:
            raise LakeError("no lake is named: set LAKE_URI")
        with self._told([at.table]):
            return DeltaTable(f"{self._uri}/{at.table}", version=at.version, storage_options=self._options)

    @contextmanager
    def _told(self, tables: list[str]) -> Iterator[None]:
        """What goes wrong inside, as an error of the table's.

        Raises:
            MissingTableError, DamagedTableError, LakeError: see there.
        """
        try:
            yield
        except LakeError:
            raise
        except TableNotFoundError as error:
            raise MissingTableError(f"there is no table {', '.join(tables)}") from error
        except BaseException as error:
            # The engine raises bare Exceptions for files that it cannot read, and for some of them it panics, which is
            # no Exception and would end the thread.
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise self._failure(tables, str(error)) from error
            raise

    @property
    def _is_remote(self) -> bool:
        return "://" in self._uri and not self._uri.startswith("file://")

    def _failure(self, tables: list[str], reason: str) -> LakeError:
        named = next((table for table in tables if table in reason), tables[0])
        if self._is_remote:
            # Not to be told from a network that fails.
            return LakeError(f"the table {named} cannot be read ({' '.join(reason.split())[:300]})")
        return DamagedTableError(named, reason)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=_TURN_S):
            raise BusyError(f"other questions to the lake did not end within {_TURN_S:g} s")
        try:
            yield
        finally:
            self._turns.release()
