"""One record's way down the stream path: Kinesis, stream table or quarantine, the post's versions, popularity.

A row of a stream table is current, superseded or repeated by the order of first occurrences, as ``pipeline audit``
says. Whether a record that no table has is in the stream, only Kinesis could tell.
"""

# ruff: noqa: S608  (values enter the queries by `literal` alone)

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline_contracts.lake import POPULARITY, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Kind, Names

from dashboard.lake.reader import LakeReader
from dashboard.lake.sql import literal
from dashboard.records import stream_steps
from dashboard.records.asking import Asking, Row, listed
from dashboard.records.batch_tables import MOST_RECORDS, VALUE_CHARS
from dashboard.records.places import Fate, Found, Path, Place, Record, content

_PATH: Final[Path] = "stream"
_NUMBER: Final = "split_part(\"offset\", '.', 1)"
_ORDER: Final = (
    "recorded_at", "partition", f"length({_NUMBER})", _NUMBER, 'length("offset")', '"offset"', "log_id"
)  # fmt: skip
"""Sequence numbers are text of digits, and compare as numbers; then those behind the point."""
_EARLIEST: Final = ", ".join(_ORDER)
_LATEST: Final = ", ".join(f"{column} DESC" for column in _ORDER)

_COLUMNS: Final = 'log_id, partition, "offset", recorded_at, content_hash'
_MOST_CONTENTS: Final = 200

type Spot = tuple[str, str, str]


@dataclass(frozen=True)
class _Poster:
    """Whose profile a post counts for, and the profile's row in the table; None: there is none."""

    name: str | None
    profile: Row | None


class StreamWay:
    """Finds records and judges them.

    Blocks while tables are read, some tenths of a second. Raises ``LakeError`` where one cannot be.
    """

    def __init__(self, reader: LakeReader, names: Names) -> None:
        self._asking = Asking(reader)
        self._names = names

    def by_key(self, kind: Kind, key: int, *, with_value: bool = False) -> Found:
        """The records of one post that the stream table has."""
        sql = f"SELECT * FROM ({_ranked(key)}) ORDER BY {_LATEST} LIMIT {MOST_RECORDS + 1}"
        rows = self._asking.rows(sql, MOST_RECORDS + 1, t=self._table(kind))
        records = self._judged(kind, key, rows[:MOST_RECORDS], with_value=with_value)
        return Found(tuple(records), len(rows) > MOST_RECORDS)

    def by_place(
        self, kind: Kind, shard: str, number: str, log_id: str | None = None, *, with_value: bool = False
    ) -> Found:
        """The record at a coordinate; without ``log_id`` one of each stream of this name that has it. At least one."""
        at = f'partition = {literal(shard)} AND "offset" = {literal(number)}'
        at += "" if log_id is None else f" AND log_id = {literal(log_id)}"
        found: list[Record] = []
        for held in self._asking.rows(f"SELECT DISTINCT ind FROM t WHERE {at}", MOST_RECORDS, t=self._table(kind)):
            sql = f"SELECT * FROM ({_ranked(held['ind'])}) WHERE {at}"
            rows = self._asking.rows(sql, MOST_RECORDS, t=self._table(kind))
            found += self._judged(kind, held["ind"], rows, with_value=with_value)
        found += self._refused(kind, at, {record.place.log_id for record in found})
        if not found:
            place = Place(_PATH, self._names.stream(kind), log_id or "", shard, number)
            found.append(Record(place, kind, "not_there_yet", stream_steps.not_there_yet(place)))
        return Found(tuple(found))

    def _refused(self, kind: Kind, at: str, known: set[str]) -> list[Record]:
        """What quarantine has at a coordinate, of streams other than the ``known``."""
        stream = self._names.stream(kind)
        sql = (
            'SELECT log_id, partition, "offset", recorded_at, reason, quarantined_at FROM held '
            f"WHERE stream = {literal(stream)} AND {at}"
        )
        held = self._asking.rows(sql, MOST_RECORDS, held=STREAM_QUARANTINE)
        rows = {row["log_id"]: row for row in held if row["log_id"] not in known}
        places = {log: self._place(kind, _spot(row)) for log, row in rows.items()}
        return [
            Record(places[log], kind, "quarantined", stream_steps.quarantined(places[log], row), row["recorded_at"])
            for log, row in rows.items()
        ]

    def _judged(self, kind: Kind, key: int, rows: Sequence[Row], *, with_value: bool) -> list[Record]:
        """A post's rows, once for each coordinate."""
        if not rows:
            return []
        firsts = self._firsts(kind, key)
        if not firsts:
            return []  # the table was taken away since
        whole = self._whole(kind, key, rows, with_value=with_value)
        winner = firsts[0]
        poster = self._poster(key)
        records: dict[Spot, Record] = {}
        for row in rows:
            fate: Fate = row["fate"]
            place = self._place(kind, _spot(row))
            first = next((one for one in firsts if one["content_hash"] == row["content_hash"]), None)
            other = first if fate == "repeated" else winner if fate == "superseded" else None
            steps = stream_steps.until_table(place, row)
            steps += (stream_steps.ranked(fate, key, None if other is None else self._place(kind, _spot(other))),)
            steps += (stream_steps.popularity(fate, poster.name, poster.profile, row),)
            wide = whole.get(_spot(row), {})
            records.setdefault(
                _spot(row),
                Record(
                    place,
                    kind,
                    fate,
                    steps,
                    row["recorded_at"],
                    row["content_hash"],
                    content(wide),
                    wide.get("value") if with_value else None,
                ),
            )
        return list(records.values())

    def _firsts(self, kind: Kind, key: int) -> list[Row]:
        """The first record of each of a post's contents; the winner first."""
        sql = f"SELECT * FROM ({_ranked(key)}) WHERE fate != 'repeated' ORDER BY {_LATEST} LIMIT {_MOST_CONTENTS}"
        return self._asking.rows(sql, _MOST_CONTENTS, t=self._table(kind))

    def _whole(self, kind: Kind, key: int, rows: Sequence[Row], *, with_value: bool) -> dict[Spot, Row]:
        """These rows with all their columns, but of ``value`` only its beginning."""
        value = f", substr(value, 1, {VALUE_CHARS}) AS value" if with_value else ""
        sql = (
            f"SELECT * EXCEPT (value){value} FROM t WHERE ind = {literal(key)} "
            f'AND "offset" IN ({listed(row["offset"] for row in rows)})'
        )
        return {_spot(row): row for row in self._asking.rows(sql, 10 * MOST_RECORDS, t=self._table(kind))}

    def _poster(self, key: int) -> _Poster:
        """Whose profile the post counts for: that of its current pin."""
        pins = self._firsts("pin", key)
        if not pins:
            return _Poster(None, None)
        pin = self._whole("pin", key, pins[:1], with_value=False).get(_spot(pins[0]), {})
        name = pin.get("poster_name")
        if name is None:
            return _Poster(None, None)
        sql = f"SELECT as_of, posts FROM p WHERE poster_name = {literal(name)}"
        return _Poster(name, next(iter(self._asking.rows(sql, 1, p=POPULARITY)), None))

    def _table(self, kind: Kind) -> str:
        return stream_table(self._names, kind)

    def _place(self, kind: Kind, at: Spot) -> Place:
        log_id, shard, number = at
        return Place(_PATH, self._names.stream(kind), log_id, shard, number)


def _spot(row: Row) -> Spot:
    return row["log_id"], row["partition"], row["offset"]


def _ranked(key: int) -> str:
    """A post's rows of ``t``, each with its fate. No wide column takes part."""
    nth = f"row_number() OVER (PARTITION BY content_hash ORDER BY {_EARLIEST})"
    rank = f"row_number() OVER (PARTITION BY nth > 1 ORDER BY {_LATEST})"
    fate = "CASE WHEN nth > 1 THEN 'repeated' WHEN rank = 1 THEN 'current' ELSE 'superseded' END"
    return (
        f"SELECT {_COLUMNS}, {fate} AS fate FROM (SELECT *, {rank} AS rank FROM ("
        f"SELECT {_COLUMNS}, {nth} AS nth FROM t WHERE ind = {literal(key)}))"
    )
