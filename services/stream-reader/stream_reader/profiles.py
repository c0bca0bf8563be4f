"""The table ``stream/profile_popularity``: what it says is computed from the posts, which follow the stream tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import batched
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError
from pipeline_contracts.lake import POPULARITY, stream_table
from pipeline_contracts.names import KINDS, Names

from stream_reader.arrivals import Rows
from stream_reader.delta import DeltaTables
from stream_reader.posts import FACTS, Covered, Posts, Profile
from stream_reader.tables import STORED

logger = logging.getLogger(__name__)

_PROFILES: Final = 5_000
"""At most so many in one commit."""


class Profiles:
    """The one writer of the table."""

    def __init__(self, tables: DeltaTables, names: Names, posts: Posts, half_life_s: float) -> None:
        self._tables = tables
        self._of = {kind: stream_table(names, kind) for kind in KINDS}
        self._posts = posts
        self._half_life_s = half_life_s

    def version(self, table: str) -> int:
        """A table's newest version."""
        return self._tables.version(table)

    def start(self) -> None:
        """Bring the posts to where the stream tables are.

        After an orderly stop they are there; after a kill some files are read, and all where the posts are of other
        tables, or of versions that Delta has forgotten. Raises what delta-rs raises.
        """
        covered = self._posts.covered()
        if covered is not None and covered == self._covered({table: at for table, (_, at) in covered.versions.items()}):
            try:
                self._catch_up(covered)
            except DeltaError as error:
                logger.warning("the posts cannot be followed up", extra={"reason": str(error)[:300]})
            else:
                return
        self._fill()

    def put(self, rows: Rows) -> set[str]:
        """Take in what was handed over; returns the posters whose profiles are others now.

        Raises:
            PostsLostError: the file was damaged; the next call fills it again.
        """
        covered = self._posts.covered()
        if covered is None:
            self._fill()
        changed = self._posts.put(rows.tables)
        if rows.incomplete and covered is not None:
            logger.info("more rows than may wait are read from the tables")
            self._catch_up(covered)
        if rows.incomplete or covered is None:
            # Not only what this call brought: a call that failed behind this line may have brought the rest.
            changed |= set(self._posts.changed())
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
        """Bring the table to where the posts are; the posts hold these versions. Returns the bytes that it wrote.

        Raises:
            PostsLostError: as ``put``.
        """
        if self._posts.covered() is None:
            self._fill()
        written = 0
        for part in batched(self._posts.changed(), _PROFILES):
            rows = pa.Table.from_pylist(list(self.of(part, as_of)), self._schema)
            written += self._tables.merge(POPULARITY, rows, "poster_name", "new.posts > 0")
            self._posts.stored(part)
        self._posts.cover(self._covered(versions))
        return written

    def _catch_up(self, covered: Covered) -> None:
        """Read what was committed since then."""
        versions = self._versions()
        for kind, table in self._of.items():
            since = covered.versions[table][1]
            if versions[table] != since:
                for rows in self._tables.read(table, ("ind", *STORED, *FACTS[kind]), since=since):
                    self._posts.put([(kind, rows)])
        self._posts.cover(self._covered(versions))

    def _fill(self) -> None:
        """Read everything. The table keeps what it says until it is committed to."""
        self._posts.clear()
        versions = self._versions()
        for kind, table in self._of.items():
            for rows in self._tables.read(table, ("ind", *STORED, *FACTS[kind])):
                self._posts.put([(kind, rows)])
        for told in self._tables.read(POPULARITY, ("poster_name",)):
            self._posts.touch(told["poster_name"].to_pylist())
        self._posts.cover(self._covered(versions))
        logger.info("the posts were read from the stream tables", extra={"versions": versions})

    def _versions(self) -> dict[str, int]:
        return {table: self._tables.version(table) for table in self._of.values()}

    def _covered(self, versions: Mapping[str, int]) -> Covered:
        ids = {table: (self._ids[table], versions.get(table, 0)) for table in self._of.values()}
        return Covered(ids, self._ids[POPULARITY], self._half_life_s)

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {table: self._tables.id(table) for table in (*self._of.values(), POPULARITY)}

    @cached_property
    def _schema(self) -> pa.Schema:
        return self._tables.schema(POPULARITY)
