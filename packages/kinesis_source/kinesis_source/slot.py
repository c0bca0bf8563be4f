"""One shard that is fetched ahead: its fetcher, and the chunks that were fetched."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kinesis_source.fetch import ShardFetcher
from kinesis_source.offsets import later
from kinesis_source.planner import Chunk

_SILENT_S: Final = 5.0
"""An idle shard is polled once a second, so one without an answer for this long is not idle."""


@dataclass
class Slot:
    """One shard: its fetcher (used by one thread at a time) and its chunks, those of the running batch included.

    Whoever calls holds the prefetcher's lock.
    """

    fetcher: ShardFetcher
    chunks: list[Chunk] = field(default_factory=list)
    planned: str | None = None
    ended: bool = False
    caught_up: bool = False
    tip_ms: int | None = None
    open_ms: int | None = None
    due_s: float = 0.0
    busy: bool = False
    written: int = 0
    size: int = 0
    """Bytes of what waits for a batch."""

    def waiting(self, after: str | None) -> list[Chunk]:
        """The chunks behind a record."""
        return [chunk for chunk in self.chunks if after is None or later(chunk.first, after)]

    @property
    def wants(self) -> bool:
        """Whether it can be fetched, and there is, or may come, more."""
        return not self.busy and not (self.ended or self.caught_up or self.fetcher.gone)

    @property
    def unanswered(self) -> bool:
        """Whether Kinesis has not answered since its fetching began, so that nobody knows what waits there."""
        return self.fetcher.behind_ms is None and not self.ended

    def take_over(self, chunk: Chunk | None) -> bool:
        """Make the outcome of a step known, all of it at once, once its records are stored; says whether it is news."""
        fetcher, before = self.fetcher, (self.ended, self.caught_up)
        self.busy, self.tip_ms, self.open_ms = False, fetcher.tip_ms, fetcher.open_ms
        self.ended, self.caught_up = fetcher.ended, fetcher.caught_up
        if chunk is not None:
            self.chunks.append(chunk)
        return chunk is not None or before != (self.ended, self.caught_up)

    def measure(self) -> int:
        """Count anew what waits; returns by how many bytes it grew."""
        before, self.size = self.size, sum(chunk.size for chunk in self.waiting(self.planned))
        return self.size - before

    def drop(self, up_to: str | None) -> set[str]:
        """Let go of the chunks up to a record (None: of all); returns the files that hold no other."""
        gone = [chunk for chunk in self.chunks if up_to is None or not later(chunk.last, up_to)]
        self.chunks = self.chunks[len(gone) :]
        return {chunk.path for chunk in gone} - {chunk.path for chunk in self.chunks}

    def pieces(self, first: str, last: str) -> Sequence[Chunk]:
        """The chunks that make up this range; empty if they are not (all) here."""
        chunks = [chunk for chunk in self.chunks if not later(first, chunk.first) and not later(chunk.last, last)]
        return chunks if chunks and chunks[0].first == first and chunks[-1].last == last else ()

    def behind_ms(self, now_ms: float, now_s: float) -> int | None:
        """How long ago the oldest record arrived that is in no batch yet; None while nobody knows."""
        waiting = self.waiting(self.planned)
        if waiting:
            return max(0, round(now_ms - waiting[0].arrived_ms))
        if self.ended or self.caught_up:
            return 0
        silent_s = now_s - self.fetcher.answered_s
        if self.fetcher.behind_ms is None and silent_s <= _SILENT_S:
            return None
        return (self.fetcher.behind_ms or 0) + (round(silent_s * 1000) if silent_s > _SILENT_S else 0)
