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
from pipeline_contracts.names import KINDS, Kind, Names

from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.failures import UNREADABLE, TableError
from stream_reader.lake.tables import STORED, State, profiles_table
from stream_reader.popularity.arrivals import Rows
from stream_reader.popularity.posts import Covered, Posts
from stream_reader.popularity.posts_database import FACTS
from stream_reader.popularity.scores import Profile

logger = logging.getLogger(__name__)

_PROFILES: Final = 5_000
"""At most so many in one commit."""


class Profiles:
    """The one writer of the table.

    ``unusable`` names the stream tables that cannot be used, and why: what the posts hold of them stays, and the others
    go on. ``start`` tries them again.
    """

    def __init__(self, tables: DeltaTables, names: Names, posts: Posts, half_life_s: float) -> None:
        self._tables = tables
        self._of = {kind: stream_table(names, kind) for kind in KINDS}
        self._posts = posts
        self._half_life_s = half_life_s
        self._ids: dict[str, str] = {}
        self._kept: dict[str, State] = {}
        self.unusable: dict[str, str] = {}

    def version(self, table: str) -> int | None:
        """A table's newest version; None where it cannot be used."""
        if table not in self.unusable:
            try:
                return self._tables.version(table)
            except UNREADABLE as error:
                self._give_up(table, error)
        return None

    def start(self) -> None:
        """Bring the posts to where the stream tables are.

        After an orderly stop they are there; after a kill some files are read, and all where the posts are of other
        tables, or of versions that Delta has forgotten. Its own table is recreated where it is lost or damaged.

        Raises:
            TableError: its own table cannot be made.
        """
        self._posts.check()
        self._look()
        covered = self._posts.covered()
        if covered is not None and self._is_of_these(covered):
            self._kept = {table: covered.versions[table] for table in self.unusable if table in covered.versions}
            try:
                self._catch_up(covered)
            except DeltaError as error:
                logger.warning("the posts cannot be followed up", extra={"reason": str(error)[:300]})
            else:
                return
        self._fill()

    def replaced(self) -> bool:
        """Whether a table that was used is another one by now, or is gone."""
        try:
            states = {table: self._tables.found(table) for table in self._ids}
        except UNREADABLE:
            return True
        return any(state is None or state[0] != self._ids[table] for table, state in states.items())

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
            if table in versions and versions[table] != covered.versions[table][1]:
                self._read(kind, table, covered.versions[table][1])
        self._posts.cover(self._covered(versions))

    def _fill(self) -> None:
        """Read everything. The table keeps what it says until it is committed to."""
        self._posts.clear()
        self._kept = {}
        versions = self._versions()
        for kind, table in self._of.items():
            if table in versions:
                self._read(kind, table, None)
        for told in self._tables.read(POPULARITY, ("poster_name",)):
            self._posts.touch(told["poster_name"].to_pylist())
        self._posts.cover(self._covered(versions))
        logger.info("the posts were read from the stream tables", extra={"versions": versions})

    def _read(self, kind: Kind, table: str, since: int | None) -> None:
        """Put a table's rows into the posts; those of new files alone with ``since``, which Delta must know."""
        portions = self._tables.read(table, ("ind", *STORED, *FACTS[kind]), since=since)
        while True:
            try:
                rows = next(portions, None)
            except (pa.ArrowException, OSError) as error:
                self._give_up(table, error)
                return
            if rows is None:
                return
            self._posts.put([(kind, rows)])

    def _look(self) -> None:
        """See which tables can be used; make our own where it cannot."""
        self._ids, self.unusable = {}, {}
        for table in self._of.values():
            try:
                state = self._tables.found(table)
            except UNREADABLE as error:
                self._give_up(table, error)
            else:
                if state is None:
                    self._give_up(table, FileNotFoundError("there is none yet"))
                else:
                    self._ids[table] = state[0]
        try:
            own = self._tables.found(POPULARITY)
        except UNREADABLE as error:
            self._tables.set_aside(POPULARITY, error)
            own = None
        if own is None:
            self._tables.create(POPULARITY, *profiles_table())
            own = self._tables.found(POPULARITY)
        if own is not None:
            self._ids[POPULARITY] = own[0]

    def _give_up(self, table: str, error: BaseException) -> None:
        covered = self._posts.covered()
        if covered is not None and table in covered.versions:
            self._kept[table] = covered.versions[table]
        self._ids.pop(table, None)
        self.unusable[table] = str(TableError(table, error))
        logger.error("a table cannot be used; the profiles no longer follow it", extra={"reason": self.unusable[table]})

    def _versions(self) -> dict[str, int]:
        found = {table: self.version(table) for table in self._of.values()}
        return {table: version for table, version in found.items() if version is not None}

    def _is_of_these(self, covered: Covered) -> bool:
        """Whether the posts are of these tables; of one that cannot be used they are what they are."""
        ids = {table: covered.versions.get(table, ("", 0))[0] for table in self._of.values() if table in self._ids}
        own = (covered.profiles, covered.half_life_s) == (self._ids.get(POPULARITY), self._half_life_s)
        return own and ids == {table: self._ids[table] for table in ids}

    def _covered(self, versions: Mapping[str, int]) -> Covered:
        """What the posts hold: of a table that cannot be used, what they held before."""
        now = {table: (self._ids[table], version) for table, version in versions.items() if table in self._ids}
        return Covered(self._kept | now, self._ids[POPULARITY], self._half_life_s)

    @cached_property
    def _schema(self) -> pa.Schema:
        return self._tables.schema(POPULARITY)
