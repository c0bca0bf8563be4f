"""The tables of the stream path: where they are, what they hold, how they are made, and their current rows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pipeline_contracts.lake import POPULARITY, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from pipeline_transforms.schemas import CLEANED, columns
from pipeline_transforms.versions import current_rows
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)
from spark_kit.lake import PROPERTIES, DeltaLake, Transaction

if TYPE_CHECKING:
    from stream_reader.lake.delta import DeltaTables  # its library is not on Databricks

COORDINATE: Final = ("log_id", "partition", "offset")
STORED: Final = ("log_id", "partition", "offset", "recorded_at", "content_hash")
"""Where a record is stored and what it holds; shard and sequence number are text."""

QUARANTINE_SCHEMA: Final = columns(
    source=StringType(),
    log_id=StringType(),
    stream=StringType(),
    partition=StringType(),
    offset=StringType(),
    recorded_at=TimestampType(),
    reason=StringType(),
    value=StringType(),
    raw_base64=StringType(),
    quarantined_at=TimestampType(),
)
_CELL: Final = columns(
    category=StringType(), country=StringType(), age_group=StringType(), posts=LongType(), score=DoubleType()
)
_POST: Final = columns(
    ind=IntegerType(),
    title=StringType(),
    category=StringType(),
    country=StringType(),
    age_group=StringType(),
    follower_count=LongType(),
    first_arrival=TimestampType(),
)
PROFILES: Final = columns(
    poster_name=StringType(),
    as_of=TimestampType(),
    score=DoubleType(),
    posts=LongType(),
    follower_count=LongType(),
    last_post_at=TimestampType(),
    cells=ArrayType(_CELL),
    recent_posts=ArrayType(_POST),
)
_LOG: Final = {
    **PROPERTIES,
    # A checkpoint per commit of a second would cost more than the commits.
    "delta.checkpointInterval": "50",
    # Thousands of commits a day: Delta looks through all that it keeps.
    "delta.logRetentionDuration": "interval 1 day",
    "delta.deletedFileRetentionDuration": "interval 1 day",  # Delta wants it to be no longer than the other
}
_SKIPPING: Final = {"delta.dataSkippingStatsColumns": "ind,recorded_at,partition"}


State = tuple[str, int]
"""A table's id, and a version of it."""


class Tables(Protocol):
    """What batches do with the tables (``delta.DeltaTables``)."""

    def create(self, table: str, schema: StructType, properties: Mapping[str, str]) -> None:
        """Make the table unless it is there."""

    def found(self, table: str) -> State | None:
        """The table as it is in storage; None where there is none (any more)."""

    def set_aside(self, table: str, why: BaseException, now: datetime | None = None) -> None:
        """Rename a damaged table, whose rows nobody reads then."""

    def version(self, table: str) -> int:
        """The newest version's number, of the table that was found last."""

    def transaction(self, table: str, application: str) -> int | None:
        """The newest version of this application's transactions that the table has seen."""

    def append(self, table: str, rows: pa.Table, transaction: Transaction) -> None:
        """One commit; none where the table has seen this transaction."""

    def read(
        self, table: str, columns: Sequence[str], where: pc.Expression | None = None, since: int | None = None
    ) -> Iterator[pa.Table]:
        """The table's rows in portions; with ``since`` those of files that are new since that version."""


def rows_schema(kind: Kind) -> StructType:
    """One row per good record: cleaned columns, coordinate and content hash, the raw JSON text."""
    stored = [StructField(name, TimestampType() if name == "recorded_at" else StringType()) for name in STORED]
    return StructType([*CLEANED[kind].fields, *stored, StructField("value", StringType())])


def record_tables(names: Names) -> dict[str, tuple[StructType, Mapping[str, str]]]:
    """The tables that take the records of the streams: columns and Delta's properties of each."""
    return {table: made for kind in KINDS for table, made in kind_tables(names, kind).items()}


def kind_tables(names: Names, kind: Kind) -> dict[str, tuple[StructType, Mapping[str, str]]]:
    """The two that take the records of one kind."""
    good = {stream_table(names, kind): (rows_schema(kind), _LOG | _SKIPPING)}
    return {**good, STREAM_QUARANTINE: (QUARANTINE_SCHEMA, _LOG)}


def profiles_table() -> tuple[StructType, Mapping[str, str]]:
    """Columns and properties of the popularity's table."""
    return PROFILES, _LOG


def all_tables(names: Names) -> dict[str, tuple[StructType, Mapping[str, str]]]:
    """Every table of the stream path: columns and Delta's properties of each."""
    return {**record_tables(names), POPULARITY: profiles_table()}


def create_all(tables: "DeltaTables", names: Names) -> None:
    """Make every table that is not there; one that is stays as it is."""
    for table, (schema, properties) in all_tables(names).items():
        tables.create(table, schema, properties)


class StreamLake(DeltaLake):
    """What Spark does with the stream's tables of one deployment, below one URI."""

    def rows(self, names: Names, kind: Kind) -> DataFrame:
        """Every good record of a kind, without its raw text."""
        return self.read(stream_table(names, kind)).drop("value")

    def current(self, names: Names, kind: Kind) -> DataFrame:
        """The current rows: one per key, as silver holds them, with text coordinates."""
        return current_rows(self.rows(names, kind))


def current_view(names: Names, kind: Kind) -> str:
    """The name of the view that ``register_views`` makes; ``-`` has no place in it."""
    return f"{names.pipeline_id.replace('-', '_')}_{kind}_current"


def register_views(spark: SparkSession, lake_uri: str, names: Names) -> list[str]:
    """Make a temporary view of each kind's current rows in this session; returns their names.

    For notebooks and SQL: ``SELECT … FROM pinterest_pin_current``. A view is computed when it is asked.
    """
    lake = StreamLake(spark, lake_uri)
    for kind in KINDS:
        lake.current(names, kind).createOrReplaceTempView(current_view(names, kind))
    return [current_view(names, kind) for kind in KINDS]
