"""The table ``stream/profile_popularity``: computed from the stream tables, committed, read again at the next start.

A commit's note says which versions of the stream tables it covers. What came later is found at the next start by the
files that are new since then; so nothing is left out, and what is computed twice gives the same.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import pyarrow as pa
from pipeline_contracts.names import KINDS, Names
from pipeline_transforms.popularity import profiles
from pipeline_transforms.versions import current_rows
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn

from stream_reader.arrivals import Touched
from stream_reader.tables import POPULARITY, STORED, StreamLake, stream_table

logger = logging.getLogger(__name__)

Profile = Mapping[str, Any]
"""A row of the table."""

_PIN: Final = ("ind", "title", "poster_name", "follower_count", "category", *STORED)
_GEO: Final = ("ind", "country", *STORED)
_USER: Final = ("ind", "age", *STORED)
_NOTES: Final = 100
"""Of so many commits one has a note: only upkeep makes commits without."""
_LITERALS: Final = 5_000
"""Up to so many keys are written into the query, where they also let Delta skip files; more are joined."""


class Covered(msgspec.Struct, frozen=True):
    """The note of a commit: versions of the stream tables, and the half life that scores were computed with."""

    versions: dict[str, int]
    half_life_s: float


_decode_covered = msgspec.json.Decoder(Covered).decode


class Profiles:
    """The one writer of the table; ``spark`` is a session of its own, because notes are set on it."""

    def __init__(self, spark: SparkSession, lake_uri: str, names: Names, half_life_s: float) -> None:
        self._spark = spark
        self.lake = StreamLake(spark, lake_uri)
        self._names = names
        self._half_life_s = half_life_s
        self._schema: pa.Schema | None = None

    def load(self) -> list[Profile]:
        """Every profile of the table."""
        return _rows(self.lake.read(POPULARITY))

    def missed(self, limit: int) -> Touched:
        """What the stream tables hold that the table does not cover: nothing after an orderly stop.

        Above ``limit`` posts it is everything.
        """
        covered = self._covered()
        if covered is None or covered.half_life_s != self._half_life_s:
            return Touched(everything=not all(map(self.lake.never_written, self._tables())))
        touched = Touched()
        for kind in KINDS:
            table = stream_table(self._names, kind)
            try:
                added = self._added_since(table, covered.versions[table])
            except (PySparkException, KeyError) as error:
                logger.warning("all profiles are computed again", extra={"table": table, "reason": str(error)[:300]})
                return Touched(everything=True)
            if added is not None:
                found = added.select("ind").distinct().limit(limit + 1).toArrow()
                touched.add(Touched(inds=set(found["ind"].to_pylist())), limit)
        return touched

    def compute(self, touched: Touched, as_of: datetime) -> list[Profile]:
        """The touched profiles, from the stream tables as they are; one whose posts are gone has none.

        A pin that supersedes another touches both posters: every version of a post's pin counts as touched.
        """
        pin, geo, user = self._sources()
        by_ind = _only(pin, "ind", touched.inds).select("poster_name").distinct().toArrow()
        posters = touched.posters | {name for name in by_ind["poster_name"].to_pylist() if name is not None}
        if not posters:
            return []
        own = _only(pin, "poster_name", posters).select("ind").distinct().toArrow()
        inds = set(own["ind"].to_pylist())
        current = current_rows(_only(pin, "ind", inds))
        # A post's other version may be another poster's, whose other posts are not here.
        mine = _only(current, "poster_name", posters)
        places, users = (current_rows(_only(rows, "ind", inds)) for rows in (geo, user))
        computed = _rows(profiles(mine, places, users, as_of, self._half_life_s))
        left = posters - {profile["poster_name"] for profile in computed}
        return [*computed, *(_empty(name, as_of) for name in sorted(left))]

    def rebuild(self, versions: Mapping[str, int], as_of: datetime) -> list[Profile]:
        """Compute every profile and replace the table."""
        pin, geo, user = (current_rows(rows) for rows in self._sources())
        with self.lake.noted(self._note(versions)):
            self.lake.overwrite(POPULARITY, profiles(pin, geo, user, as_of, self._half_life_s))
        return self.load()

    def commit(self, changed: Sequence[Profile], versions: Mapping[str, int]) -> int:
        """One commit with these profiles, covering these versions; returns the bytes that it wrote."""
        source = self._spark.createDataFrame(pa.Table.from_pylist(list(changed), self._arrow_schema()))
        with self.lake.noted(self._note(versions)):
            (
                self.lake.delta(POPULARITY)
                .alias("old")
                .merge(source.alias("new"), "old.poster_name = new.poster_name")
                .whenMatchedDelete("new.posts = 0")
                .whenMatchedUpdateAll()
                .whenNotMatchedInsertAll("new.posts > 0")
                .execute()
            )
        return self.lake.last_commit(POPULARITY).metric("numTargetBytesAdded")

    def _sources(self) -> tuple[DataFrame, DataFrame, DataFrame]:
        pin, geo, user = (self.lake.read(table) for table in self._tables())
        return pin.select(*_PIN), geo.select(*_GEO), user.select(*_USER)

    def _tables(self) -> list[str]:
        return [stream_table(self._names, kind) for kind in KINDS]

    def _added_since(self, table: str, version: int) -> DataFrame | None:
        """The rows of files that are new since then: all new rows, and after a compaction old ones, too.

        Raises:
            PySparkException: Delta does not know that version any more.
        """
        history = self.lake.delta(table).history().where(fn.col("version") > version).select("version", "operation")
        writes = [int(row["version"]) for row in history.collect() if row["operation"] == "WRITE"]
        before = self.lake.read(table, version)  # fails where the table is not the one that was covered
        if not writes:
            return None
        # A compaction before the first write, or behind the last, brings nothing new.
        before = before if min(writes) == version + 1 else self.lake.read(table, min(writes) - 1)
        now = self.lake.read(table, max(writes))
        added = set(now.inputFiles()) - set(before.inputFiles())
        return self._spark.read.schema(now.schema).parquet(*sorted(added)) if added else None

    def _covered(self) -> Covered | None:
        for note in self.lake.notes(POPULARITY, _NOTES):
            try:
                return _decode_covered(note)
            except msgspec.MsgspecError:
                continue
        return None

    def _note(self, versions: Mapping[str, int]) -> str:
        return msgspec.json.encode(Covered(dict(versions), self._half_life_s)).decode()

    def _arrow_schema(self) -> pa.Schema:
        if self._schema is None:
            self._schema = self.lake.read(POPULARITY).limit(0).toArrow().schema
        return self._schema


def _only(rows: DataFrame, column: str, values: Collection[int] | Collection[str]) -> DataFrame:
    """The rows whose column holds one of these values."""
    keys = sorted(values)
    if len(keys) <= _LITERALS and not any(isinstance(key, str) for key in keys):
        return rows.where(fn.expr(f"{column} IN ({', '.join(map(str, keys)) or 'NULL'})"))
    frame = rows.sparkSession.createDataFrame(pa.table({column: keys}))
    wanted = frame.select(fn.col(column).cast(dict(rows.dtypes)[column]).alias(column))
    return rows.join(fn.broadcast(wanted), on=column, how="left_semi")


def _rows(frame: DataFrame) -> list[Profile]:
    rows: list[Profile] = frame.toArrow().to_pylist()
    return rows


def _empty(name: str, as_of: datetime) -> Profile:
    return {"poster_name": name, "as_of": as_of, "score": 0.0, "posts": 0, "cells": [], "recent_posts": []}
