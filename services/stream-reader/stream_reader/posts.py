"""The posts of the stream tables, in a local file that can be asked by profile.

Computing a touched profile takes the current rows of its posts. In the tables they lie scattered over all files; here
they are found by an index, in less than a millisecond. The file holds nothing that the tables do not hold: which of
their versions it covers stands in it, in the same transaction as the rows, and without it, it is made anew from them.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pipeline_contracts.names import Kind

logger = logging.getLogger(__name__)

FORMAT: Final = 1
"""Raised when ``posts.sql`` changes; a file of another format is made anew."""

_PLACE: Final = ("arrived_us", "shard", "digits", "sequence", "log")
_COLUMNS: Final = (
    "kind", "ind", "hash", *_PLACE, "poster", "followers", "category", "title", "country", "age_group",
)  # fmt: skip


def _places(alias: str) -> str:
    return f"({', '.join(f'{alias}.{name}' for name in _PLACE)})"


# A repeat does not move a content; an earlier record of it does.
_ADD: Final = (
    f"INSERT INTO content ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "  # noqa: S608
    f"ON CONFLICT (kind, ind, hash) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _PLACE)} "
    f"WHERE {_places('excluded')} < {_places('content')}"
)
_LATEST: Final = " ORDER BY " + ", ".join(f"{name} DESC" for name in _PLACE) + " LIMIT 1"
_POSTS: Final = (
    f"SELECT pin.ind, pin.title, pin.category, pin.followers, {', '.join(f'pin.{name}' for name in _PLACE)}, "  # noqa: S608
    f"(SELECT country FROM content WHERE kind = 'geo' AND ind = pin.ind{_LATEST}) AS country, "
    f"(SELECT age_group FROM content WHERE kind = 'user' AND ind = pin.ind{_LATEST}) AS age_group "
    "FROM content AS pin WHERE pin.poster = ? AND NOT EXISTS ("
    f"SELECT 1 FROM content AS later WHERE later.kind = 'pin' AND later.ind = pin.ind "
    f"AND {_places('later')} > {_places('pin')}) ORDER BY pin.ind"
)
_POSTERS: Final = (
    "SELECT DISTINCT poster FROM content WHERE kind = 'pin' AND poster IS NOT NULL AND ind IN (SELECT ind FROM touched)"
)


@dataclass(frozen=True)
class Post:
    """A post as its current rows tell it; ``place`` orders posts by arrival."""

    ind: int
    title: str | None
    category: str | None
    country: str | None
    age_group: str | None
    followers: int
    arrived_us: int
    place: tuple[Any, ...]


@dataclass(frozen=True)
class Version:
    """One version of one table; a table that was made anew has another id."""

    table_id: str
    version: int


class Posts:
    """The file. Safe to use from any thread; every method is one transaction, and blocks for that long."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = _opened(path)
        except sqlite3.DatabaseError as error:
            logger.warning("posts are read again from the tables", extra={"file": str(path), "reason": str(error)})
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            self._db = _opened(path)

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._db.close()

    def covered(self) -> dict[str, Version]:
        """The version of each table up to which all rows are here."""
        with self._lock:
            rows = self._db.execute("SELECT source, table_id, version FROM covered").fetchall()
        return {source: Version(table_id, version) for source, table_id, version in rows}

    def clear(self) -> None:
        """Forget everything."""
        with self._lock, self._db:
            for table in ("content", "covered", "dirty"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 (a constant)

    def add(
        self, kind: Kind, contents: Iterable[Mapping[str, Any]], covers: Mapping[str, Version] | None = None
    ) -> set[str]:
        """Take in rows of a kind (columns of ``posts.sql``); returns the profiles that they touch.

        A pin touches the posters of all its versions, and so does a geo or user row of the same post. ``covers`` says
        that up to these versions all rows have been taken in with this one. Taking in a row again changes nothing.
        """
        rows = [{**dict.fromkeys(_COLUMNS), "kind": kind, **content} for content in contents]
        with self._lock, self._db:
            self._db.executemany(_ADD, rows)
            self._db.execute("DELETE FROM touched")
            self._db.executemany("INSERT OR IGNORE INTO touched VALUES (?)", [(row["ind"],) for row in rows])
            posters = {poster for (poster,) in self._db.execute(_POSTERS)}
            self._mark_dirty(posters)
            for source, version in (covers or {}).items():
                values = (source, version.table_id, version.version)
                self._db.execute("INSERT OR REPLACE INTO covered VALUES (?, ?, ?)", values)
        return posters

    def read(self, posters: Iterable[str]) -> tuple[int, dict[str, list[Post]]]:
        """The current posts of each profile, by ``ind``; and the number of the last change that they show."""
        with self._lock:
            found = {poster: [_post(row) for row in self._db.execute(_POSTS, (poster,))] for poster in posters}
            return self._counter("changes"), found

    def posters(self) -> list[str]:
        """Every profile that ever had a post."""
        with self._lock:
            found = self._db.execute("SELECT DISTINCT poster FROM content WHERE poster IS NOT NULL ORDER BY poster")
            return [poster for (poster,) in found]

    def dirty(self) -> set[str]:
        """Profiles that the popularity's table does not show as they are."""
        with self._lock:
            return {poster for (poster,) in self._db.execute("SELECT poster FROM dirty")}

    def commits(self) -> int:
        """The number of the last commit to the popularity's table that is known to have succeeded."""
        with self._lock:
            return self._counter("commits")

    def committed(self, number: int, shown: Mapping[str, int]) -> None:
        """A commit showed these profiles as of these changes; those that changed since stay dirty."""
        with self._lock, self._db:
            self._db.execute("UPDATE counter SET value = ? WHERE name = 'commits'", (number,))
            self._db.executemany("DELETE FROM dirty WHERE poster = ? AND since <= ?", shown.items())

    def _mark_dirty(self, posters: Iterable[str]) -> None:
        self._db.execute("UPDATE counter SET value = value + 1 WHERE name = 'changes'")
        change = self._counter("changes")
        rows: Sequence[tuple[str, int]] = [(poster, change) for poster in posters]
        self._db.executemany("INSERT OR REPLACE INTO dirty VALUES (?, ?)", rows)

    def _counter(self, name: str) -> int:
        (value,) = self._db.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
        return int(value)


def _opened(path: Path) -> sqlite3.Connection:
    with closing(sqlite3.connect(path)) as probe:
        made_by = int(probe.execute("PRAGMA user_version").fetchone()[0])
        is_empty = probe.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not is_empty and made_by != FORMAT:
        raise sqlite3.DatabaseError(f"format {made_by}, not {FORMAT}")
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut loses the last transactions, and what they cover with them
    db.executescript(resources.files("stream_reader").joinpath("posts.sql").read_text(encoding="utf-8"))
    db.execute(f"PRAGMA user_version = {FORMAT}")
    db.execute("CREATE TEMP TABLE touched (ind INTEGER PRIMARY KEY)")
    db.commit()
    return db


def _post(row: tuple[Any, ...]) -> Post:
    ind, title, category, followers, *place, country, age_group = row
    return Post(ind, title, category, country, age_group, followers or 0, place[0], (*place, ind))
