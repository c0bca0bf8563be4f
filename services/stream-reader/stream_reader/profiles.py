"""The table ``stream/profile_popularity``: what it says is computed from the posts, which follow the stream tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import batched
from typing import Final

import pyarrow as pa
from pipeline_contracts.names import KINDS, Names
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn

from stream_reader.arrivals import Rows
from stream_reader.decode import facts
from stream_reader.posts import Covered, Posts, Profile
from stream_reader.tables import POPULARITY, StreamLake, stream_table

logger = logging.getLogger(__name__)

_FILES: Final = 4
"""So many files of a table are in memory at a time; upkeep makes them 64 MiB at most."""
_PROFILES: Final = 5_000
"""At most so many in one commit."""


class Profiles:
    """The one writer of the table."""

    def __init__(self, spark: SparkSession, lake_uri: str, names: Names, posts: Posts, half_life_s: float) -> None:
        self._spark = spark
        self.lake = StreamLake(spark, lake_uri)
        self._tables = {kind: stream_table(names, kind) for kind in KINDS}
        self._posts = posts
        self._half_life_s = half_life_s
        self._schema: pa.Schema | None = None

    def start(self) -> None:
        """Bring the posts to where the stream tables are.

        After an orderly stop they are there; after a kill some files are read, and all where the posts are of other
        tables, or of versions that Delta has forgotten. Raises what Spark raises.
        """
        covered = self._posts.covered()
        if covered is not None and covered == self._covered({table: at for table, (_, at) in covered.versions.items()}):
            try:
                self._catch_up(covered)
            except PySparkException as error:
                logger.warning("the posts cannot be followed up", extra={"reason": str(error)[:300]})
            else:
                return
        self._fill()

    def put(self, rows: Rows) -> set[str]:
        """Take in what was handed over; returns the posters whose profiles are others now."""
        changed = self._posts.put(rows.tables)
        covered = self._posts.covered()
        if rows.incomplete and covered is not None:
            logger.info("more rows than may wait are read from the tables")
            changed |= self._catch_up(covered)
        return changed

    def all(self, as_of: datetime) -> Iterator[Profile]:
        """Every profile."""
        return self._posts.profiles(self._posts.posters(), as_of, self._half_life_s)

    def of(self, posters: Sequence[str], as_of: datetime) -> Iterator[Profile]:
        """These profiles; one that has no post any more has 0 posts."""
        return self._posts.profiles(posters, as_of, self._half_life_s)

    def uncommitted(self) -> bool:
        """Whether the table lacks something, also of an earlier process."""
        return bool(self._posts.changed(1))

    def commit(self, as_of: datetime, versions: Mapping[str, int]) -> int:
        """Bring the table to where the posts are; the posts hold these versions. Returns the bytes that it wrote."""
        written = 0
        for part in batched(self._posts.changed(), _PROFILES):
            self._merge(list(self.of(part, as_of)))
            self._posts.stored(part)
            written += self.lake.last_commit(POPULARITY).metric("numTargetBytesAdded")
        self._posts.cover(self._covered(versions))
        return written

    def _merge(self, changed: list[Profile]) -> None:
        source = self._spark.createDataFrame(pa.Table.from_pylist(changed, self._arrow_schema()))
        (
            self.lake.delta(POPULARITY)
            .alias("old")
            .merge(source.alias("new"), "old.poster_name = new.poster_name")
            .whenMatchedDelete("new.posts = 0")
            .whenMatchedUpdateAll()
            .whenNotMatchedInsertAll("new.posts > 0")
            .execute()
        )

    def _catch_up(self, covered: Covered) -> set[str]:
        """Read what was committed since then."""
        versions = {table: self.lake.version(table) for table in self._tables.values()}
        changed: set[str] = set()
        for kind, table in self._tables.items():
            since = covered.versions[table][1]
            for rows in self._files(table, self._added(table, since) if versions[table] != since else []):
                changed |= self._posts.put([(kind, facts(rows, kind).toArrow())])
        self._posts.cover(self._covered(versions))
        return changed

    def _fill(self) -> None:
        """Read everything. The table keeps what it says until it is committed to."""
        self._posts.clear()
        versions = {table: self.lake.version(table) for table in self._tables.values()}
        if any(versions.values()):
            logger.info("the posts are read from the stream tables")
        for kind, table in self._tables.items():
            files = self.lake.read(table, versions[table]).inputFiles() if versions[table] else []
            for rows in self._files(table, files):
                self._posts.put([(kind, facts(rows, kind).toArrow())])
        if self.lake.version(POPULARITY):
            told = self.lake.read(POPULARITY).select("poster_name").toArrow()
            self._posts.touch(told["poster_name"].to_pylist())
        self._posts.cover(self._covered(versions))

    def _files(self, table: str, files: Sequence[str]) -> Iterator[DataFrame]:
        for part in batched(sorted(files), _FILES):
            yield self._spark.read.schema(self.lake.read(table).schema).parquet(*part)

    def _added(self, table: str, since: int) -> list[str]:
        """The files that are new: they hold all new rows, and after a compaction old ones, too.

        Raises:
            PySparkException: Delta does not know that version any more.
        """
        history = self.lake.delta(table).history().where(fn.col("version") > since).select("version", "operation")
        writes = [int(row["version"]) for row in history.collect() if row["operation"] == "WRITE"]
        before = self.lake.read(table, since)  # fails where it is forgotten
        if not writes:
            return []
        # A compaction before the first write, or behind the last, brings nothing new.
        before = before if min(writes) == since + 1 else self.lake.read(table, min(writes) - 1)
        return sorted(set(self.lake.read(table, max(writes)).inputFiles()) - set(before.inputFiles()))

    def _covered(self, versions: Mapping[str, int]) -> Covered:
        ids = {table: (self._ids[table], versions.get(table, 0)) for table in self._tables.values()}
        return Covered(ids, self._ids[POPULARITY], self._half_life_s)

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {table: self.lake.id(table) for table in (*self._tables.values(), POPULARITY)}

    def _arrow_schema(self) -> pa.Schema:
        if self._schema is None:
            self._schema = self.lake.read(POPULARITY).limit(0).toArrow().schema
        return self._schema
