"""What Spark writes into its offset log: per shard, how far the query has read.

A batch is the set of ranges ``[first, last]`` of the offset at its end, each between two sequence numbers that were
really seen. Such a range never changes (records are only added behind ``last``), so reading it again gives the same
records. Nothing in it depends on the offset at the batch's start.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kinesis_source.errors import OffsetError
from kinesis_source.identity import StreamId

FORMAT_VERSION = 1
_OLD_LISTING_MS = 60_000


def later(one: str, other: str) -> bool:
    """Whether sequence number ``one`` is greater than ``other``. They are integers of any length, as text."""
    return (len(one), one) > (len(other), other)


@dataclass(frozen=True)
class Start:
    """Where a shard begins of which no record has been read: its oldest record, or a time of arrival."""

    kind: Literal["TRIM", "TS"]
    at_ms: int | None = None


@dataclass(frozen=True)
class ShardOffset:
    """One shard's progress.

    ``start`` until the first record was read, ``last`` from then on; ``last_ms`` is its arrival. ``first`` and
    ``records`` only in the offset at the end of a batch that holds records of this shard: the batch is
    ``[first, last]``, so many records. ``closed``: the shard was split or merged, and all of it has been read.
    ``tip_ms``: all that arrived in this shard before then was read, or was not asked for, or its loss was said; and it
    was open then, so that its children hold nothing older. As long as that is not a retention period ago, no unread
    record can have expired.
    """

    start: Start | None = None
    first: str | None = None
    last: str | None = None
    records: int | None = None
    closed: bool = False
    tip_ms: int | None = None
    last_ms: int | None = None


@dataclass(frozen=True)
class Offset:
    """Progress of a whole stream.

    ``listed_ms``: a shard that is not here was made later than that. ``retention_ms``: the shortest retention since
    the oldest ``tip_ms``, as far as it was seen. Older checkpoints have neither.
    """

    stream: StreamId
    shards: Mapping[str, ShardOffset]
    listed_ms: int | None = None
    retention_ms: int | None = None

    def last(self, shard_id: str) -> str | None:
        """The last record of a shard that was read; None before the first, and for a shard that is not here."""
        shard = self.shards.get(shard_id)
        return None if shard is None else shard.last

    def ranges(self) -> Iterable[tuple[str, str, str, int | None]]:
        """(shard, first, last, number of records) of the batch that ends here; older checkpoints have no number."""
        for shard_id, shard in self.shards.items():
            if shard.first is not None and shard.last is not None:
                yield shard_id, shard.first, shard.last, shard.records


def to_json(offset: Offset) -> dict[str, Any]:
    """The form in Spark's offset log. Equal offsets give equal texts."""
    shards = {}
    for shard_id, shard in sorted(offset.shards.items()):
        entry: dict[str, Any] = {}
        if shard.start is not None:
            entry["pos"] = shard.start.kind
            if shard.start.at_ms is not None:
                entry["ts"] = shard.start.at_ms
        for name, value in (
            ("first", shard.first),
            ("last", shard.last),
            ("rows", shard.records),  # its name since before aggregates were taken apart
            ("last_ms", shard.last_ms),
            ("tip_ms", shard.tip_ms),
        ):
            if value is not None:
                entry[name] = value
        if shard.closed:
            entry["closed"] = True
        shards[shard_id] = entry
    whole: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "stream": {"arn": offset.stream.arn, "created_ms": offset.stream.created_ms},
        "shards": shards,
    }
    if offset.listed_ms is not None:
        whole["listed_ms"] = offset.listed_ms
    if offset.retention_ms is not None:
        whole["retention_ms"] = offset.retention_ms
    return whole


def from_json(value: Mapping[str, Any]) -> Offset:
    """The offset of a checkpoint.

    Raises:
        OffsetError: it is not ours, or of a newer version.
    """
    if value.get("version") != FORMAT_VERSION:
        raise OffsetError(
            f"the checkpoint holds offsets of version {value.get('version')!r}, this source knows {FORMAT_VERSION}; "
            "it was written by another source or a newer version. Use that, or a new checkpoint"
        )
    try:
        stream = StreamId(str(value["stream"]["arn"]), int(value["stream"]["created_ms"]))
        shards = {str(name): _shard(entry) for name, entry in value["shards"].items()}
        listed_ms = value.get("listed_ms")
        return Offset(
            stream, shards, _listed_ms(shards) if listed_ms is None else int(listed_ms), value.get("retention_ms")
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OffsetError(f"the checkpoint holds an offset that this source cannot read: {error!r}") from error


def _listed_ms(shards: Mapping[str, ShardOffset]) -> int | None:
    """What an offset says that was written before it said so: then the shards were listed up to a second before."""
    seen_ms = max((shard.tip_ms for shard in shards.values() if shard.tip_ms is not None), default=None)
    return None if seen_ms is None else seen_ms - _OLD_LISTING_MS


def _shard(entry: Mapping[str, Any]) -> ShardOffset:
    start = None
    if "pos" in entry:
        if entry["pos"] not in ("TRIM", "TS"):
            raise ValueError(f"unknown position {entry['pos']!r}")
        start = Start(entry["pos"], entry.get("ts"))
    return ShardOffset(
        start=start,
        first=entry.get("first"),
        last=entry.get("last"),
        records=entry.get("rows"),
        closed=bool(entry.get("closed")),
        tip_ms=entry.get("tip_ms"),
        last_ms=entry.get("last_ms"),
    )
