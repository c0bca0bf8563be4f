"""The batch tables: where they are, what they hold, how they are made. All reading and writing goes through here.

Tables stay readable for programs other than Spark: no deletion vectors, no second kind of checkpoint.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from delta.tables import DeltaTable
from pipeline_contracts.names import KINDS, Kind
from pipeline_transforms.schemas import current_schema
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn
from pyspark.sql.types import StructType

EVENTS: Final = "bronze/events"
OBJECTS: Final = "bronze/objects"
QUARANTINE: Final = "quarantine/batch"
RUNS: Final = "runs"
UPKEEP: Final = "upkeep"

COORDINATE: Final = ("log_id", "topic", "partition", "offset")

SCHEMAS: Final[Mapping[str, str]] = {
    EVENTS: (
        "log_id string, topic string, partition int, offset bigint, recorded_at timestamp, key string, value string, "
        "content_hash string, object_key string, ingested_at timestamp, ingest_batch bigint"
    ),
    OBJECTS: (
        "object_key string, etag string, log_id string, topic string, partition int, first_offset bigint, "
        "next_offset bigint, records bigint, problem string, ingested_at timestamp, "
        "ranges array<struct<first: bigint, next: bigint>>"
    ),
    QUARANTINE: (
        "source string, log_id string, topic string, partition int, offset bigint, recorded_at timestamp, "
        "reason string, value string, raw_base64 string, object_key string, quarantined_at timestamp"
    ),
    RUNS: (
        "run_id string, started_at timestamp, finished_at timestamp, policies map<string, string>, "
        "versions map<string, bigint>, records map<string, bigint>"
    ),
    UPKEEP: "table string, at timestamp",
}
_PROPERTIES: Final = {"delta.enableDeletionVectors": "false", "delta.checkpointPolicy": "classic"}
_SAME_ROWS: Final = ("OPTIMIZE", "VACUUM START", "VACUUM END")
"""Delta's names of commits that change no row. Databricks commits its VACUUMs, open-source Delta here does not."""
_LOG_VACUUM: Final = "spark.databricks.delta.vacuum.logging.enabled"
_NOTE: Final = "spark.databricks.delta.commitInfo.userMetadata"
_MORE_PROPERTIES: Final[Mapping[str, dict[str, str]]] = {
    EVENTS: {"delta.dataSkippingStatsColumns": "log_id,partition,offset,recorded_at,ingest_batch"},
}


def silver(kind: Kind) -> str:
    """The table of one kind's current rows."""
    return f"silver/{kind}"


def gold(answer: str) -> str:
    """The table of one answer."""
    return f"gold/{answer}"


@dataclass(frozen=True)
class Lake:
    """The tables below one URI. Names are those of ``architecture.md``, such as ``bronze/events``."""

    spark: SparkSession
    uri: str

    def path(self, table: str) -> str:
        """The table's location, as Spark and Delta write it themselves."""
        root = self.uri.rstrip("/")
        if root.startswith("file://"):
            root = "file:" + root.removeprefix("file://").removeprefix("localhost")
        elif root.startswith("s3://") and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
            root = "s3a://" + root.removeprefix("s3://")  # Hadoop's name for it
        return f"{root}/{table}"

    def exists(self, table: str) -> bool:
        """Whether the table was ever written."""
        return DeltaTable.isDeltaTable(self.spark, self.path(table))

    def create(self, table: str, schema: StructType | str, partition_by: Iterable[str] = ()) -> None:
        """Make the table unless it is there."""
        columns = self.spark.createDataFrame([], schema).schema
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(table)).addColumns(columns)
        for name, value in {**_PROPERTIES, **_MORE_PROPERTIES.get(table, {})}.items():
            builder = builder.property(name, value)
        if partition_by:
            builder = builder.partitionedBy(*partition_by)
        builder.execute()

    def create_all(self) -> None:
        """Make every table but the answers, whose columns are their own."""
        schemas: dict[str, StructType | str] = dict(SCHEMAS)
        schemas |= {silver(kind): current_schema(kind) for kind in KINDS}
        for table, schema in schemas.items():
            if not self.exists(table):
                self.create(table, schema, ["topic"] if table == EVENTS else ())

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """The table now, or as it was at a version."""
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.path(table))

    def append(self, table: str, rows: DataFrame, note: str | None = None) -> None:
        """One commit, with a note that ``notes`` finds again."""
        writer = rows.write.format("delta").mode("append")
        if note is not None:
            writer = writer.option("userMetadata", note)
        writer.save(self.path(table))

    @contextmanager
    def noted(self, note: str) -> Iterator[None]:
        """Every commit made inside carries the note; for commits that take no option (MERGE, OPTIMIZE)."""
        self.spark.conf.set(_NOTE, note)
        try:
            yield
        finally:
            self.spark.conf.unset(_NOTE)

    def notes(self, table: str) -> Iterator[str]:
        """The notes of commits, newest first, as far back as Delta keeps its log (30 days and the last commits)."""
        for row in self.delta(table).history().select("userMetadata").toLocalIterator():
            if row["userMetadata"] is not None:
                yield row["userMetadata"]

    def overwrite(self, table: str, rows: DataFrame) -> None:
        """One commit that replaces content and columns; older versions stay readable. One file."""
        rows.coalesce(1).write.format("delta").mode("overwrite").option("overwriteSchema", "true").options(
            **_PROPERTIES
        ).save(self.path(table))

    def delta(self, table: str) -> DeltaTable:
        """For MERGE, DELETE and history."""
        return DeltaTable.forPath(self.spark, self.path(table))

    def last_commit(self, table: str) -> "Commit":
        """The newest version with its metrics."""
        row = self.delta(table).history(1).select("version", "operationMetrics").collect()[0]
        return Commit(int(row["version"]), dict(row["operationMetrics"] or {}))

    def version(self, table: str) -> int:
        """The newest version's number."""
        return self.last_commit(table).version

    def same_rows_since(self, table: str, version: int) -> bool:
        """Whether every commit after that version changed no row; false where the log does not reach back."""
        newer = self.delta(table).history().select("version", "operation").where(fn.col("version") > version).collect()
        newest = self.version(table)
        return len(newer) == newest - version and all(row["operation"] in _SAME_ROWS for row in newer)

    def oldest_commit(self, table: str) -> datetime:
        """When the oldest version that the log still knows was made, in UTC."""
        at: Any = self.delta(table).history().agg(fn.unix_millis(fn.min("timestamp"))).collect()[0][0]
        return datetime.fromtimestamp(at / 1000, UTC)

    def vacuum(self, table: str, kept: timedelta) -> None:
        """Delete files that no version younger than ``kept`` needs. Blocks while the table's folder is listed."""
        if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
            self.spark.conf.set(_LOG_VACUUM, "false")
        self.delta(table).vacuum(kept.total_seconds() / 3600)

    def never_written(self, table: str) -> bool:
        """Whether the table has no commit but the one that made it; far cheaper than a query that finds no row."""
        return self.version(table) == 0

    def newest_batch(self) -> int:
        """The number of the last ingest batch; 0 before the first."""
        if not self.exists(EVENTS) or self.never_written(EVENTS):
            return 0
        newest: Any = self.read(EVENTS).agg(fn.max("ingest_batch")).collect()[0][0]
        return int(newest or 0)

    def compact(self, table: str, files: int) -> bool:
        """Merge small files where the table has more than ``files``; says whether it did.

        Blocks while the small files are written again; answers nothing differently.
        """
        if len(self.read(table).inputFiles()) <= files:
            return False
        self.delta(table).optimize().executeCompaction()
        return True


@dataclass(frozen=True)
class Commit:
    """One version of a table. Metrics are Delta's own, as text."""

    version: int
    metrics: Mapping[str, str]

    def metric(self, name: str) -> int:
        """One counter; 0 where Delta did not count it."""
        return int(self.metrics.get(name, "0"))
