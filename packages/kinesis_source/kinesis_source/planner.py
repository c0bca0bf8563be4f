"""Which shards to read, and where a batch ends: pure functions over offsets, listings and fetched chunks."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from kinesis_source.offsets import Offset, ShardOffset, Start
from kinesis_source.stream import Shard


@dataclass(frozen=True)
class Chunk:
    """Consecutive records of one shard that lie in a spool file, from ``first_row`` on.

    An aggregate is one record with several rows.
    """

    shard_id: str
    first: str
    last: str
    records: int
    rows: int
    size: int
    path: str
    first_row: int
    arrived_ms: int
    """Arrival of its first record."""
    tip_ms: int | None = None
    """``ShardOffset.tip_ms`` as it is while this chunk waits."""
    last_ms: int | None = None
    """Arrival of its last record."""


@dataclass(frozen=True)
class Observed:
    """What has been fetched of a shard behind an offset: chunks in order; ``ended``: there will be no more.

    ``tip_ms``: all that arrived before then has been fetched. ``open_ms``: the shard was open then.
    """

    chunks: Sequence[Chunk] = ()
    ended: bool = False
    tip_ms: int | None = None
    open_ms: int | None = None


@dataclass(frozen=True)
class Plan:
    """The end of the next batch, and the chunks that were cut in two for it (original, first part, rest)."""

    end: Offset
    cuts: Sequence[tuple[Chunk, Chunk, Chunk]]


@dataclass(frozen=True)
class TipRule:
    """Which batches without rows are worth their while: those that say that a shard was seen read to its end.

    Namely ``step_ms`` later than the offset before says; ``began_ms`` stands in where that says nothing.
    """

    step_ms: int
    began_ms: int

    def overdue(self, said_ms: int | None, seen_ms: int | None) -> bool:
        """Whether ``seen_ms`` ought to be said."""
        return seen_ms is not None and seen_ms - (said_ms or self.began_ms) >= self.step_ms


@dataclass(frozen=True)
class Sightings:
    """What listings have shown: when each shard was last open, and when one that appeared since was not there."""

    open_ms: Mapping[str, int]
    absent_ms: Mapping[str, int]


Split = Callable[[Chunk, int], tuple[Chunk, Chunk] | None]
"""Cuts a chunk after so many rows, for which it looks into the chunk's file; None if that is gone.

A record is in one part with all of its rows: the first part has more rows than asked if its only record has."""


def starting_shards(shards: Sequence[Shard], start: Start, tip_ms: int, *, from_now: bool) -> dict[str, ShardOffset]:
    """Where a new query begins. ``from_now``: a closed shard has nothing more to give."""
    return {
        shard.shard_id: ShardOffset(closed=True) if from_now and shard.closed else ShardOffset(start, tip_ms=tip_ms)
        for shard in shards
    }


def reconcile(
    start: Offset, listed: Sequence[Shard], observed: Mapping[str, Observed], seen: Sightings
) -> tuple[Offset, Sequence[str]]:
    """The offset with new shards (from their oldest record on) and without those that are gone and done with.

    A listed shard that the offset does not hold is new, unless a shard of the offset comes from it: then it was
    dropped before, and the listing showed it again. A shard of which nothing has been read holds nothing older than the
    moment when a shard that it comes from was last open, or when it was not there itself.

    Returns the shards, too, that are gone although they were not read to their end, and of which nothing fetched is
    waiting. An empty listing says nothing: a stream has at least one shard.
    """
    if not listed:
        return start, ()
    by_id = {shard.shard_id: shard for shard in listed}
    old = _ancestors(start.shards.keys(), by_id)
    shards, gone_unread = {}, []
    for shard_id, shard in start.shards.items():
        in_hand = shard_id in observed and (observed[shard_id].ended or observed[shard_id].chunks)
        if shard_id in by_id or in_hand:
            shards[shard_id] = shard
        elif not shard.closed:
            gone_unread.append(shard_id)
    for shard_id in sorted(by_id):  # a parent's name comes before its children's
        shard = shards.get(shard_id) or ShardOffset(Start("TRIM"), tip_ms=start.listed_ms)
        if shard_id in old or shard.last is not None:
            continue
        known_ms = [shard.tip_ms, seen.absent_ms.get(shard_id)]
        for parent_id in by_id[shard_id].parents:
            parent = shards.get(parent_id) or start.shards.get(parent_id)
            if parent is None:
                continue
            known_ms += [parent.tip_ms, seen.open_ms.get(parent_id)]
            known_ms += [observed[parent_id].open_ms] if parent_id in observed else []
            if shard_id not in start.shards and parent.start is not None and parent.start.kind == "TS":
                shard = replace(shard, start=parent.start)  # the time may lie ahead
        shards[shard_id] = replace(shard, tip_ms=_latest(*known_ms))
    return replace(start, shards=shards), gone_unread


def _latest(*moments: int | None) -> int | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _ancestors(known: Set[str], by_id: Mapping[str, Shard]) -> set[str]:
    found: set[str] = set()
    waiting = list(known)
    while waiting:
        shard = by_id.get(waiting.pop())
        for parent in shard.parents if shard is not None else ():
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def readable(known: Offset, listed: Sequence[Shard], ended: Set[str]) -> dict[str, ShardOffset]:
    """Shards to fetch: not read to their end, and every parent that is known is. ``ended``: fetched to their end."""
    parents = {shard.shard_id: shard.parents for shard in listed}
    return {
        shard_id: shard
        for shard_id, shard in known.shards.items()
        if not shard.closed
        and all(known.shards[p].closed or p in ended for p in parents.get(shard_id, ()) if p in known.shards)
    }


def plan(
    known: Offset,
    listed: Sequence[Shard],
    observed: Mapping[str, Observed],
    max_rows: int | None,
    split: Split,
    *,
    tips: TipRule,
    seen: Sightings,
    changed: bool = False,
) -> Plan | None:
    """The batch after ``known``: fetched chunks in the order of arrival, up to ``max_rows``. None: nothing is new.

    It is larger only where a chunk cannot be cut: its file is gone, or a record would be. It has no rows where a shard
    is closed, or by ``tips``: an idle query must not forget that it has read all, else the next start takes for lost
    what is not. It is always there if ``changed``: the offset before does not hold all shards.

    A shard's records come in a later batch than all of its parents' records.
    """
    allowed = readable(known, listed, frozenset())
    waiting = {name: list(seen.chunks) for name, seen in observed.items() if name in allowed}
    taken: dict[str, list[Chunk]] = {}
    cuts = []
    left = max_rows
    while (left is None or left > 0) and (oldest := _oldest(waiting)) is not None:
        chunk = waiting[oldest].pop(0)
        parts = split(chunk, left) if left is not None and chunk.rows > left and chunk.records > 1 else None
        if parts is not None:
            cuts.append((chunk, *parts))
            waiting[oldest].insert(0, parts[1])
            chunk = parts[0]
        taken.setdefault(oldest, []).append(chunk)
        left = None if left is None else left - chunk.rows
    shards = {}
    open_now = {shard.shard_id for shard in listed if not shard.closed}
    for shard_id, shard in known.shards.items():
        if shard_id in allowed:
            shards[shard_id] = _after(
                shard,
                taken.get(shard_id, ()),
                observed.get(shard_id, Observed()),
                waiting.get(shard_id, ()),
                None if shard_id in open_now else seen.open_ms.get(shard_id, 0),
            )
        else:
            shards[shard_id] = replace(shard, first=None, records=None)
    news = (
        taken
        or changed
        or any(
            shards[name].closed != shard.closed or tips.overdue(shard.tip_ms, shards[name].tip_ms)
            for name, shard in known.shards.items()
        )
    )
    if not news:
        return None
    return Plan(replace(known, shards=shards), cuts)


def _oldest(waiting: Mapping[str, Sequence[Chunk]]) -> str | None:
    """The shard whose next chunk arrived first."""
    nonempty = [name for name, chunks in waiting.items() if chunks]
    return min(nonempty, key=lambda name: (waiting[name][0].arrived_ms, name), default=None)


def _after(
    shard: ShardOffset, taken: Sequence[Chunk], seen: Observed, waiting: Sequence[Chunk], until_ms: int | None
) -> ShardOffset:
    """``until_ms``: when a shard that is open no more was last listed as open; None: it is."""
    closed = seen.ended and not waiting
    last = taken[-1].last if taken else shard.last
    # What was fetched and is still waiting has not been read yet.
    tip_ms = waiting[0].tip_ms if waiting else seen.tip_ms
    if tip_ms is None:
        tip_ms = shard.tip_ms
    elif until_ms is not None:
        tip_ms = min(tip_ms, max(until_ms, seen.open_ms or 0, shard.tip_ms or 0))
    return ShardOffset(
        # Children of a shard that had nothing wait for the same time.
        start=None if last is not None or (closed and shard.start == Start("TRIM")) else shard.start,
        first=taken[0].first if taken else None,
        last=last,
        records=sum(chunk.records for chunk in taken) if taken else None,
        closed=closed,
        tip_ms=tip_ms,
        last_ms=taken[-1].last_ms if taken else shard.last_ms,
    )
