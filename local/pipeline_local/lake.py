"""Reads the lake's Delta tables without Spark, so that answers and audit work whether the analyser runs or not."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pipeline_contracts import damage
from pyarrow import fs
from pyarrow.dataset import Dataset, ParquetReadOptions

from pipeline_local import database
from pipeline_local.installation import InstallationError

_READ: Final = ParquetReadOptions(coerce_int96_timestamp_unit="us")
"""For the form in which Spark wrote times once: as nanoseconds, those before 1677 cannot be read."""

_NUMBER: Final = "split_part(\"offset\", '.', 1)"
PLACE_ORDER: Final = (f"length({_NUMBER})", _NUMBER, 'length("offset")', '"offset"')
"""The order of a shard's records: the sequence number, which is a number as text, then that of a sub-record."""
_ORDER: Final = ("recorded_at", '"partition"', *PLACE_ORDER, "log_id")
EARLIEST_FIRST: Final = ", ".join(_ORDER)
LATEST_FIRST: Final = ", ".join(f"{column} desc" for column in _ORDER)
"""The order of a stream table's records. Sequence numbers are text of digits, and compare as numbers."""


@dataclass(frozen=True)
class Run:
    """One complete run: the table versions that belong together, and the policies they were computed by."""

    run_id: str
    finished_at: str
    policies: dict[str, str]
    versions: dict[str, int]


class DamagedLakeError(InstallationError):
    """Tables of the lake cannot be read; the message names them, and what to do."""

    exit_code = 3


class Lake:
    """A lake below a local folder. Every read opens the table anew, so it sees the last commit.

    What a query cannot hold in memory lies in the folder ``scratch`` beside the lake while it runs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def tables(self) -> list[str]:
        """Paths of all tables below the root, such as ``silver/pin``, sorted; without those renamed for damage."""
        found = (log.parent for log in self._root.glob("**/_delta_log"))
        return sorted(str(table.relative_to(self._root)) for table in found if ".damaged" not in table.name)

    def dataset(self, table: str, version: int | None = None) -> Dataset | None:
        """One table as a dataset, at a version or the newest; None when it is not there yet."""
        folder = self._root / table
        # Arrow's own file system: delta-rs' default is written in Python, and Arrow's threads that still hold one of
        # its files when the interpreter ends abort the process ("terminate called without an active exception").
        files = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        try:
            opened = DeltaTable(folder, version=version)
        except TableNotFoundError:
            return None
        return opened.to_pyarrow_dataset(filesystem=files, parquet_read_options=_READ)

    @contextmanager
    def named_damage(self) -> Iterator[None]:
        """Where reading inside fails since a table is damaged, say which and what to do. Other errors pass.

        Raises:
            DamagedLakeError: that is why.
        """
        try:
            yield
        except (DeltaError, pa.ArrowException, OSError, duckdb.Error) as error:
            if found := self.damage() or self.damage(deep=True):
                raise DamagedLakeError("; ".join(found)) from error
            if isinstance(error, DeltaError | pa.ArrowException):
                raise DamagedLakeError(f"the lake cannot be read: {str(error).strip().splitlines()[0]}") from error
            raise

    def damage(self, *, deep: bool = False) -> list[str]:
        """The damage of each table: of its log and the ends of its files, or (``deep``) of every byte."""
        found = []
        for table in self.tables():
            try:
                rows = self.dataset(table)
                if rows is not None:
                    for fragment in rows.get_fragments():
                        _ = fragment.metadata if not deep else sum(1 for _ in fragment.to_batches(rows.schema))
            except (DeltaError, pa.ArrowException, OSError) as error:
                found.append(damage.told(table, str(error)))
        return found

    def last_run(self) -> Run | None:
        """The last complete run, or None before the first."""
        runs = self.dataset("runs")
        if runs is None:
            return None
        rows = runs.to_table().sort_by([("finished_at", "descending")]).slice(0, 1).to_pylist()
        if not rows:
            return None
        row = rows[0]
        finished_at = row["finished_at"].isoformat(timespec="seconds")
        return Run(row["run_id"], finished_at, dict(row["policies"]), dict(row["versions"]))

    def notes(self, table: str) -> Iterator[str]:
        """What writers noted in their commits of one table, the newest first; nothing where it is not there."""
        if not DeltaTable.is_deltatable(str(self._root / table)):
            return
        for commit in DeltaTable(self._root / table).history():
            if note := commit.get("userMetadata"):
                yield note

    def rows(self, table: str, version: int | None = None) -> list[dict[str, Any]]:
        """All rows of a small table; empty when it is not there."""
        dataset = self.dataset(table, version)
        rows: list[dict[str, Any]] = [] if dataset is None else dataset.to_table().to_pylist()
        return rows

    def database(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """An empty DuckDB, for more rows than fit into memory."""
        return database.opened(self._root.with_name("scratch"))

    @contextmanager
    def connect(self, only: Iterable[str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB with one view per table (or those named), its path with ``_`` for ``/``: ``silver_pin``.

        A stream table holds every record; beside ``stream_pinterest_pin_table`` stands ``stream_pinterest_pin_current``
        with the rows that count, one per post. Nothing beyond these can be reached.
        """
        with self.database() as connection:
            for table in self.tables() if only is None else only:
                dataset = self.dataset(table)
                if dataset is None:
                    continue
                view = view_name(table)
                connection.register(view, dataset)
                if view.startswith("stream_") and view.endswith("_table"):
                    connection.execute(f"create view {current_view(view)} as {_current_rows(view)}")
            database.lock_up(connection)
            yield connection


def view_name(table: str) -> str:
    """A table's name in SQL: ``silver_pin`` for ``silver/pin``."""
    return table.replace("/", "_").replace("-", "_")


def current_view(view: str) -> str:
    """The view of the rows that count, beside that of a stream table."""
    return f"{view.removesuffix('_table')}_current"


def _current_rows(table: str) -> str:
    """Of each post the content whose first record is the latest, in that record's row."""
    return f"""
    select * from (
      select * from {table}
      qualify row_number() over (partition by ind, content_hash order by {EARLIEST_FIRST}) = 1
    ) qualify row_number() over (partition by ind order by {LATEST_FIRST}) = 1
    """  # noqa: S608 (a name of ours)
