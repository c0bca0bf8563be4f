"""Every post of the stream in a SQLite file: what profiles are computed from, in milliseconds.

The file is a copy of some columns of the stream tables. It says which versions of them it holds, and where it is lost
or cannot be used, it is filled from them again. A row may be put in any number of times, in any order: of a post's
contents each is kept once, with the place of its first record, and the one whose first record is the latest counts
(``pipeline_transforms.versions``).
"""

import logging
import math
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import starmap
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from kinesis_source.places import SEPARATOR
from pipeline_contracts.names import Kind
from pipeline_transforms.ages import age_group_of

logger = logging.getLogger(__name__)

Profile = Mapping[str, Any]
"""A row of ``stream/profile_popularity``."""

CELL: Final = ("category", "country", "age_group")
"""What the popular profiles can be asked for by."""
RECENT_POSTS: Final = 20
FACTS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "pin": ("poster_name", "title", "category", "follower_count"),
    "geo": ("country",),
    "user": ("age",),
}
"""What is kept of a row of each kind, beside its key, its place and its content's hash."""

_VERSION: Final = 1
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY_S: Final = 30.0
_KEYS: Final = 500
_MOST_DOUBLINGS: Final = 1_000.0
"""For an arrival in the future; a float ends at 1,024."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TABLES: Final = """
CREATE TABLE pin (
    ind INTEGER NOT NULL, content_hash TEXT NOT NULL, place TEXT NOT NULL, arrived_us INTEGER NOT NULL,
    poster_name TEXT, title TEXT, category TEXT, follower_count INTEGER,
    PRIMARY KEY (ind, content_hash)
) WITHOUT ROWID;
CREATE INDEX pin_of_poster ON pin (poster_name, ind);
CREATE TABLE geo (
    ind INTEGER NOT NULL, content_hash TEXT NOT NULL, place TEXT NOT NULL, arrived_us INTEGER NOT NULL, country TEXT,
    PRIMARY KEY (ind, content_hash)
) WITHOUT ROWID;
CREATE TABLE user (
    ind INTEGER NOT NULL, content_hash TEXT NOT NULL, place TEXT NOT NULL, arrived_us INTEGER NOT NULL, age INTEGER,
    PRIMARY KEY (ind, content_hash)
) WITHOUT ROWID;
CREATE TABLE changed (poster_name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE covered (note TEXT NOT NULL);
"""
_OWN_POSTS: Final = """
WITH mine AS (SELECT DISTINCT ind FROM pin WHERE poster_name = :poster),
current AS (
    SELECT ind, poster_name, title, category, follower_count, arrived_us, place, max(place)
    FROM pin WHERE ind IN mine GROUP BY ind
)
SELECT ind, title, category,
    (SELECT country FROM geo WHERE geo.ind = current.ind ORDER BY place DESC LIMIT 1),
    (SELECT age FROM user WHERE user.ind = current.ind ORDER BY place DESC LIMIT 1),
    coalesce(follower_count, 0), arrived_us, place
FROM current WHERE poster_name = :poster ORDER BY ind
"""
"""With one ``max``, SQLite takes the other columns from the row that has it (lang_select.html, bare columns)."""


class Covered(msgspec.Struct, frozen=True):
    """What the file holds: each stream table's id and version. And what ``changed`` is relative to: the popularity's
    table, by id, with scores of this half life.
    """

    versions: dict[str, tuple[str, int]]
    profiles: str
    half_life_s: float


class Post(NamedTuple):
    """The current state of one post."""

    ind: int
    title: str | None
    category: str | None
    country: str | None
    age_group: str | None
    follower_count: int
    arrived_us: int
    place: str

    @property
    def cell(self) -> tuple[str | None, str | None, str | None]:
        """See ``CELL``."""
        return self.category, self.country, self.age_group


class PostsLostError(sqlite3.DatabaseError):
    """The file was damaged, and is empty now: it covers nothing, and has to be filled again."""


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
                inds |= _upsert(database, kind, table)
            posters = _posters(database, inds)
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
                rows = database.execute(_OWN_POSTS, {"poster": poster}).fetchall()
            posts = [
                Post(ind, title, category, country, age_group_of(age), *rest)
                for ind, title, category, country, age, *rest in rows
            ]
            yield profile(poster, posts, as_of, half_life_s)

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        _remove(self._file)

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
            return _connected(self._file)
        except sqlite3.DatabaseError as error:
            if not self._is_of_no_use(error):
                raise
            self._give_up(error)
            return _connected(self._file)

    def _is_of_no_use(self, error: sqlite3.DatabaseError) -> bool:
        """Whether it is the file that is at fault; not: no room, or locked."""
        return _is_damage(error) or (self._file.exists() and not self._file.is_file())

    def _give_up(self, error: Exception) -> None:
        """Set the file aside as ``<name>.damaged``, in place of one that lay there."""
        self.close()
        aside = self._file.with_name(f"{self._file.name}.damaged")
        if aside.is_dir():
            shutil.rmtree(aside)
        self._file.replace(aside)
        _remove(self._file)
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


def profile(poster: str, posts: Sequence[Post], as_of: datetime, half_life_s: float) -> Profile:
    """One row of ``stream/profile_popularity``, from the current posts of one poster, in the order of ``ind``.

    Its score is the sum over the posts of ``log10(1 + followers) × 2^(-age / half life)``; the age counts from the
    first arrival of the post's pin. It holds for one point in time, ``as_of``; at a later one, ``t``, it is
    ``score × 2^(-(t - as_of) / half life)``, so that a profile is computed again only when its posts change.
    """
    as_of_us = (as_of - _EPOCH) // timedelta(microseconds=1)
    total = 0.0
    cells: dict[tuple[str | None, str | None, str | None], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for post in posts:
        age_s = (as_of_us - post.arrived_us) / 1e6
        weight = math.log10(1 + post.follower_count) * 2.0 ** min(-age_s / half_life_s, _MOST_DOUBLINGS)
        total += weight
        count, score = cells[post.cell]
        cells[post.cell] = count + 1, score + weight
    newest = sorted(posts, key=lambda post: (post.place, post.ind), reverse=True)
    return {
        "poster_name": poster,
        "as_of": as_of,
        "score": total,
        "posts": len(posts),
        "follower_count": newest[0].follower_count if newest else None,
        "last_post_at": _moment(newest[0].arrived_us) if newest else None,
        "cells": [
            {**dict(zip(CELL, cell, strict=True)), "posts": count, "score": score}
            for cell, (count, score) in sorted(cells.items(), key=lambda item: [part or "" for part in item[0]])
        ],
        "recent_posts": [
            {
                "ind": post.ind,
                "title": post.title,
                **dict(zip(CELL, post.cell, strict=True)),
                "follower_count": post.follower_count,
                "first_arrival": _moment(post.arrived_us),
            }
            for post in newest[:RECENT_POSTS]
        ],
    }


def _connected(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a power cut takes the last transactions: they come again
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {_VERSION};COMMIT;")
        elif version != _VERSION:
            raise PostsLostError(f"version {version} in place of {_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is of no use; not: no room, or locked."""
    code: int = getattr(error, "sqlite_errorcode", 0)  # Python's own errors have none
    return isinstance(error, PostsLostError) or code & 0xFF in _DAMAGED


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _upsert(database: sqlite3.Connection, kind: Kind, table: pa.Table) -> set[int]:
    """Put rows in; returns their keys."""
    facts = FACTS[kind]
    inds: list[int] = table["ind"].to_pylist()
    arrived_us: list[int] = table["recorded_at"].cast(pa.int64()).to_pylist()
    where = zip(arrived_us, *(table[name].to_pylist() for name in ("partition", "offset", "log_id")), strict=True)
    values = zip(
        inds,
        table["content_hash"].to_pylist(),
        starmap(_place, where),
        arrived_us,
        *(table[name].to_pylist() for name in facts),
        strict=True,
    )
    names = ", ".join(("ind", "content_hash", "place", "arrived_us", *facts))
    database.executemany(
        f"INSERT INTO {kind} ({names}) VALUES ({', '.join('?' * (4 + len(facts)))})"  # noqa: S608  # our own names
        " ON CONFLICT (ind, content_hash) DO UPDATE SET place = excluded.place, arrived_us = excluded.arrived_us"
        " WHERE excluded.place < place",
        values,
    )
    return set(inds)


def _posters(database: sqlite3.Connection, inds: set[int]) -> set[str]:
    found: set[str] = set()
    keys = sorted(inds)
    for start in range(0, len(keys), _KEYS):
        part = keys[start : start + _KEYS]
        marks = ", ".join("?" * len(part))
        rows = database.execute(
            f"SELECT DISTINCT poster_name FROM pin WHERE ind IN ({marks}) AND poster_name NOT NULL",  # noqa: S608
            part,
        )
        found |= {name for (name,) in rows}
    return found


def _place(arrived_us: int, partition: str, offset: str, log_id: str) -> str:
    """Text that sorts as records do: by arrival, shard, sequence number (longer than 64 bits), sub-record, log."""
    number, _, sub = offset.partition(SEPARATOR)
    return f"{arrived_us:020d}\t{partition}\t{len(number):03d}\t{number}{f'.{int(sub):06d}' if sub else ''}\t{log_id}"


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
