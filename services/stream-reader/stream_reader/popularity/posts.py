"""Every post of the stream in a SQLite file: what profiles are computed from, in milliseconds.

The file is a copy of some columns of the stream tables. It says which versions of them it holds, and where it is lost
or cannot be used, it is filled from them again. A row may be put in any number of times, in any order: of a post's
contents each is kept once, with the place of its first record, and the one whose first record is the latest counts
(``pipeline_transforms.versions``).
"""

import logging
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
from pipeline_contracts.names import Kind
from pipeline_transforms.ages import age_group_of

from stream_reader.popularity.posts_database import (
    OWN_POSTS,
    PostsLostError,
    connected,
    is_damage,
    posters_of,
    remove,
    upsert,
)
from stream_reader.popularity.scores import Post, Profile, profile

logger = logging.getLogger(__name__)


class Covered(msgspec.Struct, frozen=True):
    """What the file holds: each stream table's id and version. And what ``changed`` is relative to: the popularity's
    table, by id, with scores of this half life.
    """

    versions: dict[str, tuple[str, int]]
    profiles: str
    half_life_s: float


_decode_covered = msgspec.json.Decoder(Covered).decode


class Posts:
    """The file, opened when it is used first. One thread uses it.

    Raises:
        PostsLostError: from any method that reads or writes.
        sqlite3.Error, OSError: the same, where there is no room or the file cannot be opened now.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._database: sqlite3.Connection | None = None

    def check(self) -> None:
        """Read the whole file once, and set it aside where it is damaged.

        Pages of zeros, as a power cut leaves them, would be read as posts without values.
        """
        try:
            with self._opened() as database:
                (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise PostsLostError(str(found))
        except PostsLostError:
            return

    def covered(self) -> Covered | None:
        """What was said last by ``cover``; None before."""
        with self._opened() as database:
            row = database.execute("SELECT note FROM covered").fetchone()
            if row is None:
                return None
            try:
                return _decode_covered(row[0])
            except (msgspec.DecodeError, TypeError) as error:
                raise PostsLostError(f"what it covers cannot be read: {error}") from error

    def put(self, rows: Iterable[tuple[Kind, pa.Table]]) -> set[str]:
        """Take in rows (``ind``, the ``STORED`` columns and those of ``FACTS``), in one transaction.

        Returns the posters whose profiles are others now: of every version of the posts, because one that supersedes
        another may be another poster's. ``changed`` holds them until ``stored``.
        """
        inds: set[int] = set()
        with self._transaction() as database:
            for kind, table in rows:
                inds |= upsert(database, kind, table)
            posters = posters_of(database, inds)
            database.executemany("INSERT OR IGNORE INTO changed VALUES (?)", [(name,) for name in posters])
        return posters

    def cover(self, covered: Covered) -> None:
        """Say what the file holds."""
        with self._transaction() as database:
            database.execute("DELETE FROM covered")
            database.execute("INSERT INTO covered VALUES (?)", (msgspec.json.encode(covered).decode(),))

    def changed(self, limit: int = -1) -> list[str]:
        """The posters whose profiles changed since they were ``stored``, over restarts."""
        with self._opened() as database:
            found = database.execute("SELECT poster_name FROM changed ORDER BY poster_name LIMIT ?", (limit,))
            return [name for (name,) in found]

    def touch(self, posters: Iterable[str]) -> None:
        """These profiles may not be in the popularity's table as they are here."""
        with self._transaction() as database:
            database.executemany("INSERT OR IGNORE INTO changed VALUES (?)", [(name,) for name in posters])

    def stored(self, posters: Iterable[str]) -> None:
        """These profiles are in the popularity's table as they are here."""
        with self._transaction() as database:
            database.executemany("DELETE FROM changed WHERE poster_name = ?", [(name,) for name in posters])

    def posters(self) -> list[str]:
        """All of them."""
        with self._opened() as database:
            found = database.execute("SELECT DISTINCT poster_name FROM pin WHERE poster_name NOT NULL")
            return sorted(name for (name,) in found)

    def profiles(self, posters: Iterable[str], as_of: datetime, half_life_s: float) -> Iterator[Profile]:
        """The profiles of these posters; one whose posts are all another's by now has none."""
        for poster in posters:
            with self._opened() as database:
                rows = database.execute(OWN_POSTS, {"poster": poster}).fetchall()
            posts = [
                Post(ind, title, category, country, age_group_of(age), *rest)
                for ind, title, category, country, age, *rest in rows
            ]
            yield profile(poster, posts, as_of, half_life_s)

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        remove(self._file)

    def close(self) -> None:
        """The file is whole without this, too."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if self._database is None:
            self._database = self._connect()
        try:
            yield self._database
        except sqlite3.DatabaseError as error:
            if not self._is_of_no_use(error):
                raise
            self._give_up(error)
            raise PostsLostError(f"the file of posts was damaged: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        """The file, recreated where it is another version's or damaged."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return connected(self._file)
        except sqlite3.DatabaseError as error:
            if not self._is_of_no_use(error):
                raise
            self._give_up(error)
            return connected(self._file)

    def _is_of_no_use(self, error: sqlite3.DatabaseError) -> bool:
        """Whether it is the file that is at fault; not: no room, or locked."""
        return is_damage(error) or (self._file.exists() and not self._file.is_file())

    def _give_up(self, error: Exception) -> None:
        """Set the file aside as ``<name>.damaged``, in place of one that lay there."""
        self.close()
        aside = self._file.with_name(f"{self._file.name}.damaged")
        if aside.is_dir():
            shutil.rmtree(aside)
        self._file.replace(aside)
        remove(self._file)
        logger.error(
            "the file of posts is renamed, and a new one filled from the stream tables",
            extra={"file": str(self._file), "reason": str(error), "set_aside_as": str(aside)},
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite ends it by itself where there is no room
                    database.execute("ROLLBACK")
                raise
