"""Records that the tables hold already, which a query with a new checkpoint reads again.

A query begins at the oldest record of its stream when its checkpoint was deleted. What earlier checkpoints brought has
its fate already, in the table or in quarantine, and is left out by its coordinate.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Kind, Names

from stream_reader.tables import Tables

Sequence = tuple[int, str]
"""A sequence number that compares like the number: its length, its digits."""

_PLACE: Final = ("partition", "offset")


def sequence(offset: str) -> Sequence:
    """What a sequence number is ordered by."""
    return len(offset), offset


class Held:
    """The coordinates of one log that the tables hold."""

    def __init__(self, tables: Tables, names: Names, kind: Kind, log_id: str) -> None:
        self._tables = tables
        self._of = (stream_table(names, kind), STREAM_QUARANTINE)
        self._log_id = log_id

    def places(self, where: pc.Expression | None = None) -> Iterator[tuple[str, str]]:
        """Shard and sequence number of each record."""
        ours = pc.field("log_id") == self._log_id
        for table in self._of:
            for rows in self._tables.read(table, _PLACE, ours if where is None else ours & where):
                yield from zip(*(rows[name].to_pylist() for name in _PLACE), strict=True)


class Known:
    """The highest sequence number of each shard that the tables hold, as of the query's start.

    A shard is forgotten once a batch lies wholly above it, so that in the long run nothing is looked up.
    """

    def __init__(self, held: Held, highest: Mapping[str, Sequence]) -> None:
        self._held = held
        self._highest = dict(highest)

    @classmethod
    def of(cls, tables: Tables, names: Names, kind: Kind, log_id: str) -> "Known":
        """Ask the tables; reads two columns of all rows of this log."""
        held = Held(tables, names, kind, log_id)
        highest: dict[str, Sequence] = {}
        for shard, offset in held.places():
            highest[shard] = max(highest.get(shard, sequence("")), sequence(offset))
        return cls(held, highest)

    def overlaps(self, records: Iterable[tuple[str, str]]) -> bool:
        """Whether one of these (shard, sequence number) may be held already; forgets shards that are past it."""
        if not self._highest:
            return False
        lowest: dict[str, Sequence] = {}
        for shard, offset in records:
            if shard in self._highest:
                lowest[shard] = min(lowest.get(shard, sequence(offset)), sequence(offset))
        past = {shard for shard, first in lowest.items() if first > self._highest[shard]}
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
