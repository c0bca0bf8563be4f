"""The SQLite database of posts: its tables, and how it is opened, written and asked."""

import sqlite3
from collections.abc import Mapping
from itertools import starmap
from pathlib import Path
from typing import Final

import pyarrow as pa
from kinesis_source.places import SEPARATOR
from pipeline_contracts.names import Kind

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
OWN_POSTS: Final = """
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


class PostsLostError(sqlite3.DatabaseError):
    """The file was damaged, and is empty now: it covers nothing, and has to be filled again."""


def connected(file: Path) -> sqlite3.Connection:
    """Open the file; its tables are made where it is new.

    Raises:
        PostsLostError: it is of another version.
        sqlite3.Error: it is damaged, locked, or there is no room.
    """
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


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is of no use; not: no room, or locked."""
    code: int = getattr(error, "sqlite_errorcode", 0)  # Python's own errors have none
    return isinstance(error, PostsLostError) or code & 0xFF in _DAMAGED


def remove(file: Path) -> None:
    """Delete the file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def upsert(database: sqlite3.Connection, kind: Kind, table: pa.Table) -> set[int]:
    """Put rows in (see ``Posts.put``); returns their keys."""
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


def posters_of(database: sqlite3.Connection, inds: set[int]) -> set[str]:
    """Whose posts these are, or were in another version of theirs."""
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
