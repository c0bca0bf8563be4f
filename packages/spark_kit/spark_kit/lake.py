"""Delta tables below one URI: where they are, how they are made, read, appended to and kept small.

Tables stay readable for programs other than Spark: no deletion vectors, no second kind of checkpoint. Which tables
there are, and what they hold, is for those who use this.
"""

import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Optional, cast

import pyarrow as pa
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn
from pyspark.sql.types import StructType

from spark_kit.databricks import on_databricks
from spark_kit.fence import local_folder
from spark_kit.tables import Commit, Condition, Size, Written, in_utc

if TYPE_CHECKING:
    from spark_kit.on_disk import TableOnDisk

PROPERTIES: Final[Mapping[str, str]] = {"delta.enableDeletionVectors": "false", "delta.checkpointPolicy": "classic"}
_OPERATORS: Final = {"=": operator.eq, ">": operator.gt, "<=": operator.le}
_NOTE: Final = "spark.databricks.delta.commitInfo.userMetadata"
_SKIP_EMPTY: Final = "spark.databricks.delta.skipRecordingEmptyCommits"
_RETENTION_CHECK: Final = "spark.databricks.delta.retentionDurationCheck.enabled"
_CHECKED_RETENTION_H: Final = 168.0
_LOG_VACUUM: Final = "spark.databricks.delta.vacuum.logging.enabled"


@dataclass(frozen=True)
class Transaction:
    """What makes an append happen once: Delta leaves out one whose version the table has seen of that application."""

    application: str
    version: int


@dataclass(frozen=True)
class DeltaLake:
    """The tables below one URI. Names are paths, such as ``bronze/events``.

    Where the lake is on a disk, delta-rs does what is small: Spark runs jobs for it, and an analysis asks and writes
    some sixty times. In S3 and on Databricks all is Spark's (``use_delta_rs`` off).
    """

    spark: SparkSession
    uri: str
    use_delta_rs: bool = field(default_factory=lambda: not on_databricks())

    def path(self, table: str) -> str:
        """The table's location, as Spark and Delta write it themselves: a folder by its name, not escaped."""
        root = self.uri.rstrip("/")
        if root.startswith("file:"):
            root = f"file:{local_folder(root)}"
        elif root.startswith("s3://") and not on_databricks():
            root = "s3a://" + root.removeprefix("s3://")  # Hadoop's name for it
        return f"{root}/{table}"

    def exists(self, table: str) -> bool:
        """Whether the table was ever written."""
        if on_disk := self._on_disk(table):
            return on_disk.exists()
        return DeltaTable.isDeltaTable(self.spark, self.path(table))

    def create(
        self,
        table: str,
        schema: StructType | str,
        partition_by: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Make the table unless it is there; ``properties`` come on top of ``PROPERTIES``."""
        columns = cast("StructType", StructType.fromDDL(schema)) if isinstance(schema, str) else schema
        all_properties = {**PROPERTIES, **(properties or {})}
        if on_disk := self._on_disk(table):
            on_disk.create(columns, partition_by, all_properties)
            return
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(table)).addColumns(columns)
        for name, value in all_properties.items():
            builder = builder.property(name, value)
        if partition_by:
            builder = builder.partitionedBy(*partition_by)
        builder.execute()

    def add_columns(self, table: str, schema: str) -> None:
        """Add the schema's columns that the table lacks, null in the rows that are there; one commit or none."""
        columns = cast("StructType", StructType.fromDDL(schema))
        if on_disk := self._on_disk(table):
            on_disk.add_columns(columns)
        elif not set(columns.names) <= set(self.delta(table).toDF().columns):
            no_rows = self.spark.createDataFrame([], columns)
            with self._configured({_SKIP_EMPTY: "false"}):
                no_rows.write.format("delta").mode("append").option("mergeSchema", "true").save(self.path(table))

    def read(self, table: str, version: int | None = None, where: Sequence[Condition] = ()) -> DataFrame:
        """The rows that meet all conditions, of the table now or as it was at a version.

        What is few on a disk is part of the plan, as one partition: what is asked of it needs neither scan nor shuffle.
        """
        if (on_disk := self._on_disk(table)) and (rows := on_disk.few(version, where)) is not None:
            return self.spark.createDataFrame(rows).coalesce(1)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        frame = reader.load(self.path(table))
        for column, is_as, value in where:
            frame = frame.where(_OPERATORS[is_as](fn.col(column), value))
        return frame

    def append(
        self, table: str, rows: DataFrame, note: str | None = None, transaction: Transaction | None = None
    ) -> None:
        """One commit, with a note that ``notes`` finds again; none where the table has seen this transaction.

        With a note, rows may be none.
        """
        writer = rows.write.format("delta").mode("append")
        if note is not None:
            writer = writer.option("userMetadata", note)
        if transaction is not None:
            writer = writer.options(txnAppId=transaction.application, txnVersion=transaction.version)
        with self._configured({} if note is None else {_SKIP_EMPTY: "false"}):
            writer.save(self.path(table))

    def append_few(self, table: str, rows: pa.Table, note: str | None = None) -> None:
        """One commit of one file with rows that this process holds; none where there is neither a row nor a note."""
        if not rows.num_rows and note is None:
            return
        if on_disk := self._on_disk(table):
            on_disk.append(rows, note)
        else:
            self.append(table, self.spark.createDataFrame(rows).coalesce(1), note)

    @contextmanager
    def noted(self, note: str) -> Iterator[None]:
        """Every commit of this session made inside carries the note; for commits without options (MERGE, OPTIMIZE)."""
        self.spark.conf.set(_NOTE, note)
        try:
            yield
        finally:
            self.spark.conf.unset(_NOTE)

    def history(self, table: str, commits: int | None = None) -> Iterator[Commit]:
        """The last ``commits``, newest first; all that Delta keeps in its log by default."""
        if on_disk := self._on_disk(table):
            yield from on_disk.history(commits)
            return
        columns = ("version", "operation", "operationMetrics", "userMetadata", fn.unix_millis("timestamp").alias("ms"))
        for row in self.delta(table).history(commits).select(*columns).toLocalIterator():
            metrics = dict(row["operationMetrics"] or {})
            yield Commit(row["version"], in_utc(row["ms"]), row["operation"], metrics, row["userMetadata"])

    def notes(self, table: str) -> Iterator[str]:
        """The notes of the commits that the log still holds, newest first."""
        return (commit.note for commit in self.history(table) if commit.note is not None)

    def overwrite(self, table: str, rows: DataFrame) -> Written:
        """One commit that replaces content and columns; older versions stay readable.

        One file, if it is small. By delta-rs the rows pass through this process: for what a driver can hold.
        """
        if on_disk := self._on_disk(table):
            return on_disk.overwrite(rows, PROPERTIES)
        writer = rows.coalesce(1).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.options(**PROPERTIES).save(self.path(table))
        commit = self.last_commit(table)
        return Written(commit.version, commit.metric("numOutputRows"))

    def damage(self, table: str, version: int | None = None) -> str | None:
        """Why a version (None: the newest) of a table on a disk cannot be read; None where it can, or is elsewhere.

        Blocks while all of it is read.
        """
        on_disk = self._on_disk(table)
        return on_disk.damage(version) if on_disk and on_disk.exists() else None

    def set_damaged_log_aside(self, table: str, now: datetime) -> None:
        """Make a table on a disk none where its log cannot be read, so that it can be written again."""
        if on_disk := self._on_disk(table):
            on_disk.set_damaged_log_aside(f"_delta_log.damaged-{now:%Y%m%dT%H%M%S%f}")

    def delta(self, table: str) -> DeltaTable:
        """For MERGE, DELETE and history."""
        return DeltaTable.forPath(self.spark, self.path(table))

    def last_commit(self, table: str) -> Commit:
        """The newest version with its metrics."""
        return next(self.history(table, 1))

    def version(self, table: str) -> int:
        """The newest version's number."""
        return self.last_commit(table).version

    def never_written(self, table: str) -> bool:
        """Whether the table has no commit but the one that made it; far cheaper than a query that finds no row."""
        return self.version(table) == 0

    def compact(self, table: str, files: int, file_bytes: int | None = None) -> bool:
        """Merge small files where the table has more than ``files`` of them; says whether it did.

        With ``file_bytes``, files are made about that large, those that are half of it are left alone, and a table
        may have as many files more as its size needs: days of appends are each rewritten a few times only.
        Blocks while small files are written again; answers nothing differently.
        """
        size = self._size(table)
        needed = 0 if file_bytes is None else 2 * size.bytes // file_bytes
        if size.files - needed <= files:
            return False
        conf: dict[str, object] = {}
        if file_bytes is not None:
            prefix = "spark.databricks.delta.optimize"
            conf = {f"{prefix}.minFileSize": file_bytes // 2, f"{prefix}.maxFileSize": file_bytes}
        with self._configured(conf):
            self.delta(table).optimize().executeCompaction()
        return True

    def vacuum(self, table: str, retention_h: float) -> None:
        """Delete the files that no version of the last ``retention_h`` hours needs; blocks while the folder is listed.

        Makes no version, but on Databricks. Less than the 168 h that Delta asks for by default is the caller's wish:
        who reads an older version fails.
        """
        conf: dict[str, object] = {} if retention_h >= _CHECKED_RETENTION_H else {_RETENTION_CHECK: "false"}
        if not on_databricks():
            conf[_LOG_VACUUM] = "false"
        with self._configured(conf):
            self.delta(table).vacuum(retention_h)

    def _size(self, table: str) -> Size:
        if on_disk := self._on_disk(table):
            return on_disk.size()
        detail = self.delta(table).detail().select("numFiles", "sizeInBytes").collect()[0]
        return Size(int(detail["numFiles"]), int(detail["sizeInBytes"]))

    def _on_disk(self, table: str) -> Optional["TableOnDisk"]:
        folder = local_folder(self.uri) if self.use_delta_rs else None
        if folder is None:
            return None
        from spark_kit.on_disk import TableOnDisk  # noqa: PLC0415  # its library is not on Databricks

        return TableOnDisk(folder / table)

    @contextmanager
    def _configured(self, conf: Mapping[str, object]) -> Iterator[None]:
        for name, value in conf.items():
            self.spark.conf.set(name, str(value))
        try:
            yield
        finally:
            for name in conf:
                self.spark.conf.unset(name)
