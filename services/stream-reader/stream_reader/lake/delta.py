"""The stream's tables by delta-rs, for what is done every second or at each start, in a small part of Spark's time.

Spark merges their small files and serves queries (``tables``, ``upkeep``). Both write the same log.
"""

import logging
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake import Transaction as AppTransaction
from deltalake.exceptions import TableNotFoundError
from pyarrow.dataset import Dataset
from pyspark.sql.types import StructType
from spark_kit.fence import local_folder
from spark_kit.lake import Transaction
from spark_kit.on_disk import READ_OPTIONS, create_table, dataset

from stream_reader.lake.failures import TableError, brief
from stream_reader.lake.tables import State

logger = logging.getLogger(__name__)

_ROWS: Final = 65_536
_KEY: Final = "old.{key} = new.{key}"


class DeltaTables:
    """The tables below one URI. Safe to use from any thread.

    Other writers of a table (upkeep) hold its lock, too: two libraries in one process do not see each other's commits
    being made, and on a local disk Spark would rename its commit over that of another.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._uri = uri.rstrip("/")
        self._options = dict(storage_options or {})
        self._opened: dict[str, DeltaTable] = {}
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    def exclusive(self, table: str) -> threading.RLock:
        """The lock of a table's commits."""
        return self._locks[table]

    def version(self, table: str) -> int:
        """The newest version's number."""
        with self.exclusive(table):
            return self._current(table).version()

    def found(self, table: str) -> State | None:
        """The table's id and newest version as they are in storage; None where there is no table (any more).

        What is kept open does not notice that a table was lost, or that another took its place; this does.
        """
        with self.exclusive(table):
            try:
                opened = self._opened[table] = self._at(table, None)
            except TableNotFoundError:
                self._opened.pop(table, None)
                return None
            return str(opened.metadata().id), opened.version()

    def transaction(self, table: str, application: str) -> int | None:
        """The newest version of this application's transactions that the table has seen."""
        with self.exclusive(table):
            return self._current(table).transaction_version(application)

    def id(self, table: str) -> str:
        """What tells the table from one that is made in its place."""
        with self.exclusive(table):
            return str(self._current(table).metadata().id)

    def create(self, table: str, schema: StructType, properties: Mapping[str, str]) -> None:
        """Make the table unless it is there; ``properties`` are Delta's table properties."""
        with self.exclusive(table):
            create_table(f"{self._uri}/{table}", schema, properties, storage_options=self._options)

    def set_aside(self, table: str, why: BaseException, now: datetime | None = None) -> None:
        """Rename a damaged table's folder to ``<name>.damaged``, in place of one that lay there.

        With ``now`` the name holds that time, so that none of them is lost.

        Raises:
            TableError: the lake is not on a disk.
            OSError: it cannot be renamed.
        """
        root = local_folder(self._uri)
        if root is None:
            raise TableError(table, why) from why
        with self.exclusive(table):
            self._opened.pop(table, None)
            folder = root / table
            when = "" if now is None else f"-{now:%Y%m%dT%H%M%S%f}"
            aside = folder.with_name(f"{folder.name}.damaged{when}")
            shutil.rmtree(aside, ignore_errors=True)
            folder.replace(aside)
        logger.error(
            "a damaged table is renamed and recreated",
            extra={"table": table, "reason": brief(why), "set_aside_as": str(aside)},
        )

    def append(self, table: str, rows: pa.Table, transaction: Transaction) -> None:
        """One commit; none where the table has seen this transaction."""
        with self.exclusive(table):
            current = self._current(table)
            done = current.transaction_version(transaction.application)
            if done is None or done < transaction.version:
                seen = AppTransaction(transaction.application, transaction.version)
                properties = CommitProperties(app_transactions=[seen])
                write_deltalake(current, rows, mode="append", commit_properties=properties)

    def merge(self, table: str, rows: pa.Table, key: str, present: str) -> int:
        """One commit: each row takes the place of the one with its key; only those that are ``present`` are there then.

        ``present`` is SQL of the columns of ``new``. Returns the bytes of files that were written.
        """
        with self.exclusive(table):
            current = self._current(table)
            before = _files(current)
            (
                current.merge(rows, _KEY.format(key=key), source_alias="new", target_alias="old")
                .when_matched_delete(f"NOT ({present})")
                .when_matched_update_all()
                .when_not_matched_insert_all(present)
                .execute()
            )
            return sum(size for file, size in _files(current).items() if file not in before)

    def schema(self, table: str) -> pa.Schema:
        """The table's columns."""
        with self.exclusive(table):
            return pa.schema(self._current(table).schema().to_arrow())

    def read(
        self, table: str, columns: Sequence[str], where: pc.Expression | None = None, since: int | None = None
    ) -> Iterator[pa.Table]:
        """The table's rows in portions; with ``since`` those of files that are new since that version.

        A compaction brings old rows again. Raises what delta-rs raises where it does not know the version any more.
        """
        with self.exclusive(table):
            current = self._current(table)
            version = current.version()
        old = frozenset[str]() if since is None else frozenset(_files(self._at(table, since)))
        dataset = self._dataset(self._at(table, version))
        for fragment in dataset.get_fragments(where):
            if unquote(fragment.path.lstrip("/")) not in old:
                # With the table's schema: Spark writes points in time in another form than Arrow.
                for batch in fragment.to_batches(dataset.schema, list(columns), where, _ROWS):
                    yield pa.Table.from_batches([batch])

    def _current(self, table: str) -> DeltaTable:
        opened = self._opened.get(table)
        if opened is None:
            opened = self._opened[table] = self._at(table, None)
        else:
            opened.update_incremental()
        return opened

    def _at(self, table: str, version: int | None) -> DeltaTable:
        return DeltaTable(f"{self._uri}/{table}", version=version, storage_options=self._options)

    def _dataset(self, opened: DeltaTable) -> Dataset:
        if self._uri.startswith("file:"):
            return dataset(Path(unquote(urlsplit(opened.table_uri).path)), opened)
        return opened.to_pyarrow_dataset(parquet_read_options=READ_OPTIONS)


def _files(opened: DeltaTable) -> dict[str, int]:
    """Bytes of each of the version's files, by path below the table."""
    added: Any = pa.table(opened.get_add_actions(flatten=True))
    return dict(zip(map(unquote, added["path"].to_pylist()), added["size_bytes"].to_pylist(), strict=True))
