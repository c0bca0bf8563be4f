"""What the tables of the batch path know of some records."""

# ruff: noqa: S608  (values enter the queries by `literal` alone)

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, silver
from pipeline_contracts.names import Kind, Names

from dashboard.lake.reader import At, LakeError
from dashboard.lake.sql import literal
from dashboard.records.asking import Asking, Row, listed

MOST_RECORDS: Final = 50
"""So many records are told at once, the newest."""
VALUE_CHARS: Final = 2_000
_MOST_CONTENTS: Final = 200
_MOST_ROWS: Final = 5_000
_BRONZE: Final = 'log_id, partition, "offset", recorded_at, content_hash, object_key, ingested_at, ingest_batch'
_HELD: Final = 'source, log_id, partition, "offset", recorded_at, reason, object_key, quarantined_at'
_OBJECTS: Final = "log_id, object_key, first_offset, next_offset, problem, ingested_at"

type Spot = tuple[str, int, int]
"""Log id, partition, offset: a coordinate within a topic."""


def spot(row: Row) -> Spot:
    """A row's own."""
    return row["log_id"], row["partition"], row["offset"]


class BatchTables:
    """Queries of one kind's topic. What they raise and block on: see ``Asking``."""

    def __init__(self, asking: Asking, names: Names, kind: Kind) -> None:
        self._asking = asking
        self.topic = names.topic(kind)
        self.silver = silver(kind)

    def of_key(self, key: int, *, with_value: bool) -> Sequence[Row]:
        """Bronze: the contents of this key and their repeats, and what was sent with it as Kafka's key."""
        others = f"SELECT unnest(superseded) AS s FROM silver WHERE ind = {literal(key)}"
        sql = (
            f"SELECT content_hash FROM silver WHERE ind = {literal(key)} "
            f"UNION ALL SELECT s['content_hash'] AS content_hash FROM ({others})"
        )
        contents = [row["content_hash"] for row in self._asking.rows(sql, _MOST_CONTENTS, silver=self.silver)]
        same = f" OR content_hash IN ({listed(contents)})" if contents else ""
        return self._bronze(f"(key = {literal(str(key))}{same})", with_value=with_value)

    def at(self, partition: int, offset: int, log_id: str | None, *, with_value: bool) -> Sequence[Row]:
        """Bronze: the records at a coordinate, one of each log that has it."""
        return self._bronze(_at(partition, offset, log_id), with_value=with_value)

    def quarantined(self, rows: Iterable[Row]) -> dict[Spot, Row]:
        """Which of these records of bronze the cleaner refused."""
        sql = (
            f"SELECT {_HELD} FROM held WHERE source = 'record' AND topic = {literal(self.topic)} "
            f'AND "offset" IN ({listed(row["offset"] for row in rows)})'
        )
        return {spot(row): row for row in self._asking.rows(sql, _MOST_ROWS, held=QUARANTINE)}

    def not_records(self, partition: int, offset: int, log_id: str | None) -> list[Row]:
        """Quarantine: dead letters and unreadable lines of a coordinate."""
        sql = (
            f"SELECT {_HELD} FROM held WHERE source != 'record' AND topic = {literal(self.topic)} "
            f"AND {_at(partition, offset, log_id)}"
        )
        return self._asking.rows(sql, MOST_RECORDS, held=QUARANTINE)

    def settled(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Silver's current and superseded contents that are at these records' coordinates, or equal to theirs."""
        current = f"SELECT * EXCEPT (superseded) FROM silver WHERE {_same(rows)}"
        columns = [f"s['{column}'] AS \"{column}\"" for column in ("log_id", "partition", "offset", "content_hash")]
        unnested = f"SELECT s, {', '.join(columns)} FROM (SELECT unnest(superseded) AS s FROM silver)"
        superseded = f"SELECT s FROM ({unnested}) WHERE {_same(rows)}"
        return (
            self._asking.rows(current, _MOST_ROWS, silver=self.silver),
            [row["s"] for row in self._asking.rows(superseded, _MOST_ROWS, silver=self.silver)],
        )

    def current(self, keys: Collection[int], version: int | None = None) -> dict[int, Row] | None:
        """The current rows of these keys, now or at a version; None where that version is gone."""
        if not keys:
            return {}
        sql = f'SELECT ind, log_id, partition, "offset", content_hash FROM silver WHERE ind IN ({listed(keys)})'
        try:
            rows = self._asking.rows(sql, _MOST_ROWS, silver=At(self.silver, version))
        except LakeError:
            if version is None:
                raise
            return None
        return {row["ind"]: row for row in rows}

    def objects(self, keys: Iterable[str]) -> dict[str, Row]:
        """The ledger's newest row of each of these objects."""
        sql = f"SELECT {_OBJECTS} FROM objects WHERE object_key IN ({listed(keys)}) ORDER BY ingested_at"
        return {row["object_key"]: row for row in self._asking.rows(sql, _MOST_ROWS, objects=OBJECTS)}

    def covering(self, partition: int, offset: int, log_id: str | None) -> dict[str, Row]:
        """By log, the newest object that was read and covers an offset, with the ``ranges`` that it has lines for."""
        of = f"topic = {literal(self.topic)} AND partition = {literal(partition)}"
        of += "" if log_id is None else f" AND log_id = {literal(log_id)}"
        sql = (
            f"SELECT {_OBJECTS}, ranges FROM objects WHERE {of} AND first_offset <= {literal(offset)} "
            f"AND next_offset > {literal(offset)} ORDER BY ingested_at"
        )
        return {row["log_id"]: row for row in self._asking.rows(sql, MOST_RECORDS, objects=OBJECTS)}

    def _bronze(self, where: str, *, with_value: bool) -> Sequence[Row]:
        """Newest first, each coordinate once; ``times``: how often bronze has it. One more than are shown."""
        value = f", substr(value, 1, {VALUE_CHARS}) AS value" if with_value else ""
        sql = (
            f"SELECT {_BRONZE}{value} FROM events WHERE topic = {literal(self.topic)} AND {where} "
            f'ORDER BY recorded_at DESC, partition DESC, "offset" DESC, log_id DESC LIMIT {2 * MOST_RECORDS}'
        )
        once: dict[Spot, dict[str, Any]] = {}
        for row in self._asking.rows(sql, 2 * MOST_RECORDS, events=EVENTS):
            kept = once.setdefault(spot(row), {**row, "times": 0})
            kept["times"] += 1
            kept["ingest_batch"] = max(kept["ingest_batch"], row["ingest_batch"])
            kept["content_hash"] = min(kept["content_hash"], row["content_hash"])
        return [*once.values()][: MOST_RECORDS + 1]


def _at(partition: int, offset: int, log_id: str | None) -> str:
    log = "" if log_id is None else f" AND log_id = {literal(log_id)}"
    return f'partition = {literal(partition)} AND "offset" = {literal(offset)}{log}'


def _same(rows: Sequence[Row]) -> str:
    """Of one of these records' contents, or at one of their coordinates."""
    hashes = listed(row["content_hash"] for row in rows)
    logs, offsets = listed(row["log_id"] for row in rows), listed(row["offset"] for row in rows)
    return f'(content_hash IN ({hashes}) OR ("offset" IN ({offsets}) AND log_id IN ({logs})))'
