"""Reads the lake's Delta tables without Spark, so that answers and audit work whether the analyser runs or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyarrow import fs
from pyarrow.dataset import Dataset


@dataclass(frozen=True)
class Run:
    """One complete run: the table versions that belong together, and the policies they were computed by."""

    run_id: str
    finished_at: str
    policies: dict[str, str]
    versions: dict[str, int]


class Lake:
    """A lake below a local folder. Every read opens the table anew, so it sees the last commit."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def tables(self) -> list[str]:
        """Paths of all tables below the root, such as ``silver/pin``, sorted."""
        return sorted(str(log.parent.relative_to(self._root)) for log in self._root.glob("**/_delta_log"))

    def dataset(self, table: str, version: int | None = None) -> Dataset | None:
        """One table as a dataset, at a version or the newest; None when it is not there yet."""
        folder = self._root / table
        # Arrow's own file system: delta-rs' default is written in Python, and Arrow's threads that still hold one of
        # its files when the interpreter ends abort the process ("terminate called without an active exception").
        files = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        try:
            return DeltaTable(folder, version=version).to_pyarrow_dataset(filesystem=files)
        except TableNotFoundError:
            return None

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
        """What writers noted in their commits of one table, the newest first."""
        for commit in DeltaTable(self._root / table).history():
            if note := commit.get("userMetadata"):
                yield note

    def rows(self, table: str, version: int | None = None) -> list[dict[str, Any]]:
        """All rows of a small table; empty when it is not there."""
        dataset = self.dataset(table, version)
        rows: list[dict[str, Any]] = [] if dataset is None else dataset.to_table().to_pylist()
        return rows

    def connect(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with one view per table, its path with ``_`` for ``/``: ``silver_pin``."""
        connection = duckdb.connect()
        connection.execute("set timezone = 'UTC'")
        for table in self.tables():
            dataset = self.dataset(table)
            if dataset is not None:
                connection.register(table.replace("/", "_").replace("-", "_"), dataset)
        return connection
