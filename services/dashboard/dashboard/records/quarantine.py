"""What is held in quarantine, on both paths: counts, pages by key, and the bytes of one row.

Rows are told newest first, by ``recorded_at`` and then by their coordinate. A page begins behind the last row of the
one before it, never at a number of rows: that stays quick, and memory small, however many there are.
"""

# ruff: noqa: S608  (values enter the queries by `literal` alone)

import base64
import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from dashboard.lake.reader import At, LakeReader, MissingTableError, State
from dashboard.lake.sql import literal
from dashboard.records.asking import Asking, Row
from dashboard.records.held import PATHS, TABLES, Count, Held, Key, Listing, Only, Table

TEXT_CHARS: Final = 500
MOST_COUNTS: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_ALIKE: Final = 2_000
_KEPT: Final = 64
_MORE: Final = ("object_key", "line", "raw_bytes", "raw_sha256")
"""Columns that the stream path's table lacks, and tables of earlier versions."""


class Quarantine:
    """Reads both tables. Blocks while they are read, some hundredths of a second.

    Raises:
        LakeError: from every method: a table is there and cannot be read, or not in time.
    """

    def __init__(self, reader: LakeReader) -> None:
        self._reader = reader
        self._asking = Asking(reader)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], Listing | list[Count]] = OrderedDict()

    def counts(self) -> list[Count]:
        """The largest first; at most ``MOST_COUNTS`` a path."""
        return self._once(("counts",), self._count)

    def _count(self) -> list[Count]:
        sql = (
            "SELECT source, reason, count(*) AS n FROM held GROUP BY source, reason "
            f"ORDER BY n DESC LIMIT {MOST_COUNTS}"
        )
        found = [
            Count(path, row["source"] or "", row["reason"] or "", row["n"])
            for path, one in TABLES.items()
            for row in self._asking.rows(sql, MOST_COUNTS, held=one.table)
        ]
        return sorted(found, key=lambda count: (-count.rows, count.path, count.source, count.reason))

    def listing(self, only: Only, most: int, before: Key | None = None) -> Listing:
        """The newest rows, or those behind ``before``."""
        return self._once((only, most, before), lambda: self._list(only, most, before))

    def _list(self, only: Only, most: int, before: Key | None) -> Listing:
        keys = [self._keys(TABLES[path], only, most + 1, before) for path in PATHS if only.path in {None, path}]
        ordered = list(heapq.merge(*keys, key=lambda key: (-(key.at or 0), PATHS.index(key.path))))
        shown = ordered[:most]
        whole = {path: self._whole(TABLES[path], [key for key in shown if key.path == path]) for path in PATHS}
        rows = tuple(whole[key.path][key] for key in shown if key in whole[key.path])
        return Listing(rows, shown[-1] if len(ordered) > most else None)

    def row(self, key: Key) -> Held | None:
        """One row; None where it is not there (any more: a replay takes away what passes)."""
        return self._whole(TABLES[key.path], [key]).get(key)

    def raw(self, key: Key) -> bytes | None:
        """The bytes that are kept of one row: of an unreadable line the first 64 KiB. None: there is no such row."""
        one = TABLES[key.path]
        columns = self._columns(one)
        sql = f"SELECT raw_base64 FROM held WHERE {_is(one, columns, key)} LIMIT 1"
        rows = self._asking.rows(sql, 1, held=one.table)
        return base64.b64decode(rows[0]["raw_base64"] or "") if rows else None

    def _once[T: Listing | list[Count]](self, asked: tuple[object, ...], ask: Callable[[], T]) -> T:
        """What was found before, while both tables are what they were then; the last ``_KEPT`` are kept."""
        states: list[State | None] = [self._reader.state(one.table) for one in TABLES.values()]
        whole = (*asked, *states)
        with self._lock:
            kept = self._kept.get(whole)
            if kept is not None:
                self._kept.move_to_end(whole)
                return cast("T", kept)
        found = ask()
        with self._lock:
            self._kept[whole] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def _keys(self, one: Table, only: Only, most: int, before: Key | None) -> list[Key]:
        """The keys of the newest rows. Few columns take part in the ordering of many rows."""
        columns = self._columns(one)
        where = _matching(only) + ([] if before is None else [_behind(one, columns, before)])
        newest = f"SELECT recorded_at AS at FROM held{_where(where)} ORDER BY recorded_at DESC NULLS LAST LIMIT {most}"
        sql = f"SELECT min(at) AS at, count(at) AS dated, count(*) AS n FROM ({newest})"
        for found in self._asking.rows(sql, 1, held=one.table):
            if found["n"] == 0:
                return []
            if found["dated"] == found["n"]:
                where = [*where, f"recorded_at >= {literal(found['at'])}"]
        key = _key(one, columns)
        order = ", ".join(f"{expression} DESC" for expression in key)
        sql = (
            f"SELECT recorded_at, {_as_columns(key)} FROM held{_where(where)} "
            f"ORDER BY recorded_at DESC NULLS LAST, {order} LIMIT {most}"
        )
        return [_key_of(one, row) for row in self._asking.rows(sql, most, held=one.table)]

    def _whole(self, one: Table, keys: Sequence[Key]) -> dict[Key, Held]:
        """These rows with what is told of them."""
        if not keys:
            return {}
        columns = self._columns(one)
        key = _key(one, columns)
        where = [
            f"{expression} IN ({', '.join(sorted({literal(one_key.of[place]) for one_key in keys}))})"
            for place, expression in enumerate(key)
        ]
        dated = [key.at for key in keys if key.at is not None]
        if len(dated) == len(keys):
            where += [
                f"recorded_at >= {literal(_moment(min(dated)))}",
                f"recorded_at <= {literal(_moment(max(dated)))}",
            ]
        more = [name if name in columns else f"NULL AS {name}" for name in _MORE]
        told = f"reason, quarantined_at, substr(value, 1, {TEXT_CHARS}) AS text, {', '.join(more)}"
        sql = f"SELECT recorded_at, {_as_columns(key)}, {told} FROM held{_where(where)}"
        wanted = set(keys)
        rows = self._asking.rows(sql, _MOST_ALIKE, held=one.table)
        return {found: _held(one, found, row) for row in rows if (found := _key_of(one, row)) in wanted}

    def _columns(self, one: Table) -> frozenset[str]:
        """Tables of earlier versions lack some."""
        try:
            return frozenset(self._reader.columns(At(one.table)))
        except MissingTableError:
            return frozenset(one.key)


def _key(one: Table, columns: frozenset[str]) -> list[str]:
    """The key columns as expressions that are never null."""
    found = []
    for name, kind in one.key.items():
        nothing = "''" if kind is str else "CAST(-1 AS BIGINT)"
        value = f'"{name}"' if kind is str else f'CAST("{name}" AS BIGINT)'
        found.append(f"coalesce({value}, {nothing})" if name in columns else nothing)
    return found


def _as_columns(key: Sequence[str]) -> str:
    return ", ".join(f"{expression} AS k{place}" for place, expression in enumerate(key))


def _key_of(one: Table, row: Row) -> Key:
    at = row["recorded_at"]
    return Key(one.path, None if at is None else (at - _EPOCH) // timedelta(microseconds=1), _values(one, row))


def _values(one: Table, row: Row) -> tuple[str | int, ...]:
    return tuple(row[f"k{place}"] for place in range(len(one.key)))


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _matching(only: Only) -> list[str]:
    asked = {"source": only.source, "reason": only.reason}
    return [f"{column} = {literal(value)}" for column, value in asked.items() if value is not None]


def _where(conditions: Iterable[str]) -> str:
    joined = " AND ".join(f"({condition})" for condition in conditions)
    return f" WHERE {joined}" if joined else ""


def _is(one: Table, columns: frozenset[str], key: Key) -> str:
    at = "recorded_at IS NULL" if key.at is None else f"recorded_at = {literal(_moment(key.at))}"
    same = [f"{left} = {literal(value)}" for left, value in zip(_key(one, columns), key.of, strict=True)]
    return " AND ".join([at, *same])


def _behind(one: Table, columns: frozenset[str], before: Key) -> str:
    """Of the rows of equal time those of ``batch`` come first."""
    same = "recorded_at IS NULL" if before.at is None else f"recorded_at = {literal(_moment(before.at))}"
    older = "false" if before.at is None else f"recorded_at < {literal(_moment(before.at))} OR recorded_at IS NULL"
    if PATHS.index(one.path) > PATHS.index(before.path):
        return f"{older} OR {same}"
    if one.path != before.path:
        return older
    key = _key(one, columns)
    lower = []
    for place, value in enumerate(before.of):
        equal = [f"{left} = {literal(right)}" for left, right in zip(key, before.of[:place], strict=False)]
        lower.append(" AND ".join([*equal, f"{key[place]} < {literal(value)}"]))
    return f"{older} OR ({same} AND ({' OR '.join(f'({one})' for one in lower)}))"


def _held(one: Table, key: Key, row: Row) -> Held:
    of = dict(zip(one.key, key.of, strict=True))
    offset = of["offset"]
    return Held(
        key,
        source=str(of["source"]),
        log_id=str(of["log_id"]),
        name=str(of[one.named]),
        partition=str(of["partition"]),
        offset=None if offset in {-1, ""} else str(offset),
        reason=row["reason"] or "",
        recorded_at=row["recorded_at"],
        quarantined_at=row["quarantined_at"],
        text=row["text"],
        object_key=row["object_key"],
        line=row["line"],
        size=row["raw_bytes"],
        sha256=row["raw_sha256"],
    )
