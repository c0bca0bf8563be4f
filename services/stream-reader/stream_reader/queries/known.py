"""Records that the tables hold already, which a query with a new checkpoint reads again.

A query begins at the oldest record of its stream when its checkpoint was deleted. What earlier checkpoints brought has
its fate already, in the table or in quarantine, and is left out by its coordinate.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from kinesis_source.places import SEPARATOR, place_order

from stream_reader.lake.failures import FAILURES, TableError, brief
from stream_reader.lake.tables import Tables

logger = logging.getLogger(__name__)

_PLACE: Final = ("partition", "offset")


class Held:
    """The coordinates of one log that tables hold."""

    def __init__(self, tables: Tables, of: Collection[str], log_id: str) -> None:
        self._tables = tables
        self._of = of
        self._log_id = log_id

    def places(self, where: pc.Expression) -> Iterator[tuple[str, str]]:
        """Shard and sequence number of each record."""
        for rows in self._rows(where, self._of):
            yield from zip(*(rows[name].to_pylist() for name in _PLACE), strict=True)

    def highest(self, of: Mapping[str, int | None]) -> dict[str, str]:
        """The last place of each shard in these tables; found by Arrow, because the rows are many.

        Of a table with a version what was written since, as long as Delta knows it; all three kinds write to one
        quarantine, which may be long.
        """
        highest: dict[str, str] = {}
        for rows in chain.from_iterable(self._since(table, version) for table, version in of.items()):
            # Of places of one form the greatest is the last one, as text.
            offsets = rows["offset"]
            form = {"length": pc.binary_length(offsets), "point": pc.find_substring(offsets, SEPARATOR)}
            places = pa.table({"partition": rows["partition"], "offset": offsets, **form})
            found = places.group_by(["partition", *form]).aggregate([("offset", "max")])
            for shard, offset in zip(found["partition"].to_pylist(), found["offset_max"].to_pylist(), strict=True):
                highest[shard] = max(highest.get(shard, offset), offset, key=place_order)
        return highest

    def _since(self, table: str, version: int | None) -> Iterator[pa.Table]:
        if version is not None:
            try:
                yield from self._tables.read(table, _PLACE, pc.field("log_id") == self._log_id, version)
            except FAILURES as error:
                told = {"table": table, "version": version, "reason": brief(error)}
                logger.info("all coordinates of a table are read: a version of it is not known any more", extra=told)
            else:
                return
        yield from self._rows(None, (table,))

    def _rows(self, where: pc.Expression | None, of: Collection[str]) -> Iterator[pa.Table]:
        ours = pc.field("log_id") == self._log_id
        for table in of:
            try:
                yield from self._tables.read(table, _PLACE, ours if where is None else ours & where)
            except FAILURES as error:
                raise TableError(table, error) from error


class Known:
    """The last place of each shard that the tables held when the query's checkpoint began.

    A shard is forgotten once a batch lies wholly above it, so that in the long run nothing is looked up.
    """

    def __init__(self, held: Held, highest: Mapping[str, str]) -> None:
        self._held = held
        self._highest = dict(highest)

    @classmethod
    def of(cls, held: Held, changed: Mapping[str, int | None], kept: Mapping[str, str]) -> "Known":
        """What was kept, and what the tables hold that changed since that version, or None: all of it."""
        highest = dict(kept)
        for shard, newest in held.highest(changed).items():
            highest[shard] = max(highest.get(shard, newest), newest, key=place_order)
        return cls(held, highest)

    @property
    def highest(self) -> dict[str, str]:
        """The last record of each shard that may be met again."""
        return dict(self._highest)

    def overlaps(self, records: Iterable[tuple[str, str]]) -> bool:
        """Whether one of these (shard, sequence number) may be held already; forgets shards that are past it."""
        if not self._highest:
            return False
        lowest: dict[str, str] = {}
        for shard, offset in records:
            if shard in self._highest:
                lowest[shard] = min(lowest.get(shard, offset), offset, key=place_order)
        past = {shard for shard, first in lowest.items() if place_order(first) > place_order(self._highest[shard])}
        for shard in past:
            del self._highest[shard]
        return lowest.keys() > past

    def without(self, rows: pa.Table) -> pa.Table:
        """``rows`` less those whose coordinate is held; a record that comes again has the arrival that it had."""
        arrivals = pc.min_max(rows["recorded_at"])
        recorded_at = pc.field("recorded_at")
        held = set(self._held.places((recorded_at >= arrivals["min"]) & (recorded_at <= arrivals["max"])))
        places = zip(*(rows[name].to_pylist() for name in _PLACE), strict=True)
        return rows.filter(pa.array([place not in held for place in places], pa.bool_()))
