"""A Delta table on a disk by delta-rs: what takes Spark a second it does in a hundredth (ADR 0017).

Spark on the same table sees each commit, and the other way round. Not at once: on a disk, Spark renames a commit into
place without a look at what another library has put there meanwhile. Not imported on Databricks.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import DeltaError
from pyarrow import fs
from pyarrow.dataset import Dataset, ParquetReadOptions
from pyarrow.parquet import filters_to_expression
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from spark_kit.tables import Commit, Condition, Size, Written, in_utc

logger = logging.getLogger(__name__)

_NOTE: Final = "userMetadata"
"""Spark's name for it: https://docs.delta.io/delta-batch/#set-user-defined-commit-metadata"""
READ_OPTIONS: Final = ParquetReadOptions(coerce_int96_timestamp_unit="us")
"""For the form in which Spark wrote times once: as nanoseconds, those before 1677 cannot be read."""
_FEW_FILE_BYTES: Final = 4 * 1024 * 1024
_FEW_BYTES: Final = 8 * _FEW_FILE_BYTES
"""Files that are packed better than that hold more than a plan of Spark's should."""
_FEW_AT_ONCE: Final = 1024
"""Rows; as much more than ``_FEW_BYTES`` may be read."""


def create_table(
    place: str,
    schema: StructType,
    properties: Mapping[str, str],
    partition_by: Sequence[str] = (),
    storage_options: Mapping[str, str] | None = None,
) -> None:
    """Make the table unless it is there; ``place`` is a folder or a URI, ``properties`` are Delta's table properties.

    A schema in Delta's log has the JSON form of Spark's:
    https://github.com/delta-io/delta/blob/master/PROTOCOL.md#schema-serialization-format
    """
    DeltaTable.create(
        place,
        Schema.from_json(schema.json()),
        mode="ignore",
        partition_by=list(partition_by),
        configuration=dict(properties),
        storage_options=dict(storage_options or {}),
    )


def dataset(folder: Path, opened: DeltaTable) -> Dataset:
    """A version of a table in that folder, for Arrow."""
    # Arrow's own file system: the default one is written in Python, and Arrow's threads that still hold one of its
    # files when the interpreter ends abort the process.
    files = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    return opened.to_pyarrow_dataset(filesystem=files, parquet_read_options=READ_OPTIONS)


@dataclass(frozen=True)
class TableOnDisk:
    """One table; does and answers what ``DeltaLake`` does by Spark.

    Raises:
        DeltaError, OSError: from every method; the table is not there or cannot be read or written. No commit is half.
    """

    folder: Path

    def exists(self) -> bool:
        """Whether the table was ever written."""
        return DeltaTable.is_deltatable(str(self.folder))

    def create(self, schema: StructType, partition_by: Sequence[str], properties: Mapping[str, str]) -> None:
        """Make the table unless it is there."""
        create_table(str(self.folder), schema, properties, partition_by)

    def add_columns(self, schema: StructType) -> None:
        """Add the columns that the table lacks, null in the rows that are there; one commit, or none."""
        opened = DeltaTable(self.folder)
        there = {field.name for field in opened.schema().fields}
        if new := [field for field in Schema.from_json(schema.json()).fields if field.name not in there]:
            opened.alter.add_columns(new)

    def damage(self, version: int | None = None) -> str | None:
        """Why a version (None: the newest) cannot be read; None where it can. Blocks while all of it is read."""
        try:
            opened = DeltaTable(self.folder, version=version)
            if (reason := _is_cut(DeltaTable(self.folder))) is not None:
                return reason
            rows = dataset(self.folder, opened)
            for fragment in rows.get_fragments():
                for _ in fragment.to_batches(rows.schema, batch_size=_FEW_AT_ONCE, batch_readahead=1):
                    pass
        except (DeltaError, pa.ArrowException, OSError) as error:
            return str(error)
        return None

    def set_damaged_log_aside(self, name: str) -> None:
        """Rename a log that cannot be read, so that the folder is no table and can become one."""
        try:
            if (reason := _is_cut(DeltaTable(self.folder))) is None:
                return
        except DeltaError as error:
            reason = str(error)
        logger.warning("log set aside", extra={"folder": str(self.folder), "as": name, "reason": reason[:300]})
        (self.folder / "_delta_log").rename(self.folder / name)

    def size(self) -> Size:
        """How large the newest version is, by its log."""
        files = _files(DeltaTable(self.folder))
        return Size(len(files), sum(files.values()))

    def few(self, version: int | None, where: Sequence[Condition] = ()) -> pa.Table | None:
        """The rows of a version (None: the newest) that meet all conditions; None where they may be many.

        That is told by the files that may have such rows, and by what is read of them.
        """
        opened = DeltaTable(self.folder, version=version)
        rows, only = dataset(self.folder, opened), filters_to_expression(list(where)) if where else None
        fragments = list(rows.get_fragments(only))
        files = _files(opened)
        if sum(files[fragment.path.lstrip("/")] for fragment in fragments) > _FEW_FILE_BYTES:
            return None
        batches, size = [], 0
        for fragment in fragments:
            for batch in fragment.to_batches(rows.schema, filter=only, batch_size=_FEW_AT_ONCE, batch_readahead=1):
                size += batch.nbytes
                if size > _FEW_BYTES:
                    return None
                batches.append(batch)
        return pa.Table.from_batches(batches) if batches else rows.schema.empty_table()

    def overwrite(self, rows: DataFrame, properties: Mapping[str, str]) -> Written:
        """One commit that replaces content and columns; any column may be null, whatever the rows' schema says.

        Rows keep their order, as those of one chunk do: several are dealt out to threads.
        """
        content = rows.toArrow().combine_chunks()
        content = content.cast(pa.schema([field.with_nullable(True) for field in content.schema]))
        write_deltalake(self.folder, content, mode="overwrite", schema_mode="overwrite", configuration=dict(properties))
        return Written(DeltaTable(self.folder).version(), content.num_rows)

    def append(self, rows: pa.Table, note: str | None) -> None:
        """One commit, and one file of all rows; no file where there is none."""
        properties = CommitProperties(custom_metadata={} if note is None else {_NOTE: note})
        write_deltalake(self.folder, rows.combine_chunks(), mode="append", commit_properties=properties)

    def history(self, commits: int | None = None) -> Iterator[Commit]:
        """The last commits, newest first."""
        for info in DeltaTable(self.folder).history(commits):
            metrics = {name: str(value) for name, value in info.get("operationMetrics", {}).items()}
            at = in_utc(info["timestamp"])
            yield Commit(info["version"], at, info["operation"], metrics, info.get(_NOTE))


def _is_cut(newest: DeltaTable) -> str | None:
    """Whether the newest commit is there by its name alone: each of Spark's and delta-rs' says what it did."""
    said = [info["version"] for info in newest.history(1)]
    return None if said[:1] == [newest.version()] else f"its commit {newest.version()} is empty"


def _files(opened: DeltaTable) -> dict[str, int]:
    """Bytes of each of the version's files, by path below the table."""
    added = pa.table(opened.get_add_actions())
    return dict(zip(map(unquote, added["path"].to_pylist()), added["size_bytes"].to_pylist(), strict=True))
