"""Records that the tables hold already, which a query with a new checkpoint reads again.

A query begins at the oldest record of its stream when its checkpoint was deleted. What earlier checkpoints brought has
its fate already, in the table or in quarantine, and is left out by its coordinate.
"""

from collections.abc import Callable, Iterable, Mapping

from pipeline_contracts.names import Kind, Names
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn

from stream_reader.tables import QUARANTINE, StreamLake, stream_table

Sequence = tuple[int, str]
"""A sequence number that compares like the number: its length, its digits."""

Held = Callable[[], DataFrame]
"""Reads the coordinates (``partition``, ``offset``) that the tables hold now."""


def sequence(offset: str) -> Sequence:
    """What a sequence number is ordered by."""
    return len(offset), offset


class Known:
    """The highest sequence number of each shard that the tables hold, as of the query's start.

    A shard is forgotten once a batch lies wholly above it, so that in the long run nothing is looked up.
    """

    def __init__(self, held: Held, highest: Mapping[str, Sequence]) -> None:
        self._held = held
        self._highest = dict(highest)

    @classmethod
    def of(cls, lake: StreamLake, names: Names, kind: Kind, log_id: str) -> "Known":
        """Ask the tables; reads two columns of all rows of this log."""

        def held() -> DataFrame:
            return _coordinates(lake, names, kind, log_id)

        newest = fn.max(fn.struct(fn.length("offset").alias("digits"), "offset")).alias("newest")
        rows = held().groupBy("partition").agg(newest).collect()
        return cls(held, {row["partition"]: (row["newest"]["digits"], row["newest"]["offset"]) for row in rows})

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

    def without(self, rows: DataFrame, lowest: Sequence) -> DataFrame:
        """``rows`` less those whose coordinate is held; ``lowest`` is the lowest sequence number among them."""
        return rows.join(self._held().where(_not_below(lowest)), on=["partition", "offset"], how="left_anti")


def _coordinates(lake: StreamLake, names: Names, kind: Kind, log_id: str) -> DataFrame:
    tables = [lake.read(table) for table in (stream_table(names, kind), QUARANTINE)]
    kept, rejected = (rows.where(fn.col("log_id") == log_id).select("partition", "offset") for rows in tables)
    return kept.unionByName(rejected)


def _not_below(lowest: Sequence) -> Column:
    digits, text = lowest
    length = fn.length("offset")
    return (length > digits) | ((length == digits) & (fn.col("offset") >= text))
