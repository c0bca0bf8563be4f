"""The batch tables and what they hold. All reading and writing goes through here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
from pipeline_contracts import damage
from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, RUNS, Cleaned, gold, silver
from pipeline_contracts.names import KINDS, Kind
from pipeline_transforms.answers import ANSWERS, COUNTS
from pipeline_transforms.schemas import current_schema
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column
from pyspark.sql import functions as fn
from pyspark.sql.types import StructType
from spark_kit.lake import DeltaLake

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
        "reason string, value string, raw_base64 string, object_key string, quarantined_at timestamp, "
        "line bigint, raw_bytes bigint, raw_sha256 string"
    ),
    RUNS: (
        "run_id string, started_at timestamp, finished_at timestamp, policies map<string, string>, "
        "versions map<string, bigint>, records map<string, bigint>"
    ),
    UPKEEP: "table string, at timestamp",
}
OF_OBJECTS: Final[Mapping[str, str]] = {"line": "bigint", "raw_bytes": "bigint", "raw_sha256": "string"}
"""Columns of quarantine that only lines of objects have, and their types; tables of earlier versions lack them."""
SAME_ROWS: Final = ("OPTIMIZE", "VACUUM START", "VACUUM END")
"""Delta's names of commits that change no row. Databricks commits its VACUUMs, open-source Delta here does not."""
_MORE_PROPERTIES: Final[Mapping[str, dict[str, str]]] = {
    EVENTS: {"delta.dataSkippingStatsColumns": "log_id,partition,offset,recorded_at,ingest_batch"},
}


def _delta_errors() -> tuple[type[Exception], ...]:
    """What delta-rs raises, where it is: not on Databricks."""
    try:
        from deltalake.exceptions import DeltaError  # noqa: PLC0415
    except ImportError:
        return ()
    return (DeltaError,)


class DamagedLakeError(Exception):
    """Tables cannot be read; the message names them, and what to do."""


class Lake(DeltaLake):
    """The tables below one URI, by the names in ``pipeline_contracts.lake``."""

    def create_all(self) -> None:
        """Make every table but the answers, whose columns are their own.

        One that an earlier version made gets the columns that it lacks.
        """
        schemas: dict[str, StructType | str] = dict(SCHEMAS)
        schemas |= {silver(kind): current_schema(kind) for kind in KINDS}
        for table, schema in schemas.items():
            if not self.exists(table):
                self.create(table, schema, ["topic"] if table == EVENTS else (), _MORE_PROPERTIES.get(table))
            elif table == QUARANTINE:
                self.add_columns(table, SCHEMAS[table])

    def damaged(self) -> list[str]:
        """What is wrong with each table on a disk that cannot be read, and what to do. Blocks while all are read."""
        tables = [*SCHEMAS, *map(silver, KINDS), *map(gold, (*ANSWERS, *COUNTS))]
        found = {table: self.damage(table) for table in tables}
        return [damage.told(table, reason) for table, reason in found.items() if reason is not None]

    @contextmanager
    def named_damage(self) -> Iterator[None]:
        """Where what is done inside fails and tables are damaged, say which and what to do. Other errors pass.

        Raises:
            DamagedLakeError: that is why.
        """
        try:
            yield
        except (PySparkException, Py4JError, pa.ArrowException, OSError, ValueError, *_delta_errors()) as error:
            if found := self.damaged():
                raise DamagedLakeError("; ".join(found)) from error
            raise

    def cleaned(self, kind: Kind) -> Cleaned:
        """How far one kind's silver has come.

        An OPTIMIZE repeats the note that it read when it began, in case that the log forgets all others; beside it
        another run may have come further.
        """

        def notes() -> Iterator[str]:
            repeated: list[str] = []
            for commit in self.history(silver(kind)):
                if commit.note is not None and commit.operation in SAME_ROWS:
                    repeated.append(commit.note)
                elif commit.note is not None:
                    yield commit.note
            yield from repeated

        return Cleaned.newest(notes())

    def same_rows_since(self, table: str, version: int) -> bool:
        """Whether every commit after that version changed no row; false where the log does not reach back."""
        newer = [commit for commit in self.history(table) if commit.version > version]
        newest = self.version(table)
        return len(newer) == newest - version and all(commit.operation in SAME_ROWS for commit in newer)

    def oldest_commit(self, table: str) -> datetime:
        """When the oldest version that the log still knows was made, in UTC."""
        return min(commit.at for commit in self.history(table))

    def newest_batch(self) -> int:
        """The number of the last ingest batch; 0 before the first."""
        if not self.exists(EVENTS) or self.never_written(EVENTS):
            return 0
        newest: Any = self.read(EVENTS).agg(fn.max("ingest_batch")).collect()[0][0]
        return int(newest or 0)


def no_object_columns() -> list[Column]:
    """``OF_OBJECTS`` of a row of quarantine that is no line of an object."""
    return [fn.lit(None).cast(kind).alias(name) for name, kind in OF_OBJECTS.items()]
