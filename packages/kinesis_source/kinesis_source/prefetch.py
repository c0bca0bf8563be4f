"""Threads that fetch ahead of the query, into the spool, up to a number of bytes."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from service_kit.clock import Clock

from kinesis_source import records as arrow
from kinesis_source.errors import KinesisSourceError, SpoolError
from kinesis_source.fetch import ShardFetcher, Step
from kinesis_source.offsets import Offset, ShardOffset, later
from kinesis_source.planner import Chunk, Observed
from kinesis_source.spool import Spool

logger = logging.getLogger(__name__)

MAX_THREADS = 16
_CHECK_S = 0.5
"""How often a waiting thread looks up, whatever it was told."""
_STOP_S = 5.0
_SILENT_S = 5.0
"""An idle shard is polled once a second, so one without an answer for this long is not idle."""


@dataclass
class _Slot:
    """One shard: its fetcher (used by one thread at a time) and its chunks, those of the running batch included."""

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
        return [chunk for chunk in self.chunks if after is None or later(chunk.first, after)]


class Prefetcher:
    """Fetches the shards it was given, each in turn, with at most ``threads`` threads (0: ``run_due`` does it).

    Records that wait for a batch take at most ``buffer_bytes``, plus one answer per thread; those of the batch that
    is being read come on top. All methods may be called from any thread; none but ``wait`` and ``stop`` blocks.
    """

    def __init__(
        self,
        make_fetcher: Callable[[str, ShardOffset], ShardFetcher],
        spool: Spool,
        *,
        stream: str,
        buffer_bytes: int,
        threads: int = MAX_THREADS,
        clock: Clock,
    ) -> None:
        self._make_fetcher, self._spool, self._stream = make_fetcher, spool, stream
        self._buffer_bytes, self._max_threads, self._clock = buffer_bytes, threads, clock
        self._slots: dict[str, _Slot] = {}
        self._size = 0
        self._spool_failed = False
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._news = threading.Condition(self._lock)
        self._news_count = 0
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._stopped = False

    def ensure(self, wanted: Mapping[str, ShardOffset]) -> None:
        """Fetch these shards too, from their offsets on; one that is fetched already goes on where it is."""
        with self._lock:
            for shard_id, offset in wanted.items():
                if shard_id not in self._slots:
                    self._slots[shard_id] = _Slot(
                        self._make_fetcher(shard_id, offset), planned=offset.last, tip_ms=offset.tip_ms
                    )
            while len(self._threads) < min(self._max_threads, len(self._slots)) and not self._stopped:
                thread = threading.Thread(target=self._run, name=f"kinesis-fetch-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._work.notify_all()

    def observed(self, start: Offset) -> dict[str, Observed]:
        """What was fetched behind ``start``.

        Raises:
            KinesisSourceError: what ended the fetching of a shard; nothing is fetched any more.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            return {
                shard_id: Observed(slot.waiting(start.last(shard_id)), slot.ended, slot.tip_ms, slot.open_ms)
                for shard_id, slot in self._slots.items()
            }

    def forget(self, known: Offset) -> None:
        """Let go of shards that are closed or gone; a closed shard has been read to its end."""
        with self._lock:
            for shard_id in list(self._slots):
                shard = known.shards.get(shard_id)
                if (shard is None or shard.closed) and not self._slots[shard_id].busy:
                    self._drop(self._slots[shard_id], None)
                    del self._slots[shard_id]

    def plan(self, end: Offset, cuts: Sequence[tuple[Chunk, Chunk, Chunk]]) -> None:
        """A batch up to ``end`` has been planned: its chunks wait no more, and make room."""
        with self._lock:
            for whole, head, tail in cuts:
                chunks = self._slots[whole.shard_id].chunks
                at = chunks.index(whole)
                chunks[at : at + 1] = [head, tail]
            for shard_id, shard in end.shards.items():
                if shard_id in self._slots:
                    self._slots[shard_id].planned = shard.last
                    self._measure(self._slots[shard_id])
            self._work.notify_all()

    def release(self, end: Offset) -> None:
        """The batch that ends here has been read: its files go."""
        with self._lock:
            for shard_id, shard in end.shards.items():
                if shard_id in self._slots and shard.last is not None:
                    self._drop(self._slots[shard_id], shard.last)

    def pieces(self, shard_id: str, first: str, last: str) -> Sequence[Chunk]:
        """The chunks that make up this range; empty if they are not (all) here."""
        with self._lock:
            slot = self._slots.get(shard_id)
            chunks = [
                chunk
                for chunk in (slot.chunks if slot is not None else ())
                if not later(first, chunk.first) and not later(chunk.last, last)
            ]
        return chunks if chunks and chunks[0].first == first and chunks[-1].last == last else ()

    def caught_up(self, wanted: Mapping[str, ShardOffset]) -> bool:
        """Whether none of these shards has anything more to give before its time to stop."""
        with self._lock:
            return all(name in self._slots and self._slots[name].caught_up for name in wanted)

    def behind_ms(self) -> dict[str, int]:
        """Per shard, how long ago the oldest record arrived that is in no batch yet; 0 at the end of the shard.

        Where Kinesis has not answered for some seconds, nobody knows what came since: that time counts, too.
        """
        now_ms, now_s = self._clock.now().timestamp() * 1000, self._clock.monotonic()
        with self._lock:
            found = {}
            for shard_id, slot in self._slots.items():
                waiting, fetcher = slot.waiting(slot.planned), slot.fetcher
                if waiting:
                    found[shard_id] = max(0, round(now_ms - waiting[0].arrived_ms))
                elif slot.ended or slot.caught_up:
                    found[shard_id] = 0
                else:
                    silent_s = now_s - fetcher.answered_s
                    if fetcher.behind_ms is not None or silent_s > _SILENT_S:
                        silent_ms = round(silent_s * 1000) if silent_s > _SILENT_S else 0
                        found[shard_id] = (fetcher.behind_ms or 0) + silent_ms
            return found

    @property
    def unanswered(self) -> int:
        """How many shards have not answered since their fetching began, so that nobody knows what waits there."""
        with self._lock:
            return sum(slot.fetcher.behind_ms is None and not slot.ended for slot in self._slots.values())

    @property
    def news(self) -> int:
        """Rises when something was fetched, a shard ended or is caught up, or fetching failed."""
        with self._lock:
            return self._news_count

    def wait(self, seen: int, timeout_s: float) -> None:
        """Block until ``news`` is not ``seen``, or for this long."""
        with self._lock:
            self._news.wait_for(lambda: self._news_count != seen, timeout_s)

    def stop(self) -> None:
        """End the threads; blocks until their requests are finished, for five seconds at most."""
        with self._lock:
            self._stopped = True
            self._work.notify_all()
        end_s = self._clock.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(0.0, end_s - self._clock.monotonic()))

    def run_due(self) -> bool:
        """Do one step of one shard that is due and has room. False: none is.

        What it raises ends the fetching: ``observed`` raises it, too.
        """
        with self._lock:
            slot = self._next_due()
            if slot is None:
                return False
            slot.busy = True
        try:
            began_s, tip_ms = self._clock.monotonic(), slot.fetcher.tip_ms
            step = slot.fetcher.step()
            slot.due_s = began_s + step.wait_s
            chunk = self._store(slot, step, tip_ms)
        except BaseException as error:
            self._fail(error, slot)
            raise
        with self._lock:
            self._take_over(slot, chunk)
        return True

    def _take_over(self, slot: _Slot, chunk: Chunk | None) -> None:
        """Make the outcome of a step known, all of it at once, and only once its records are stored."""
        fetcher, before = slot.fetcher, (slot.ended, slot.caught_up)
        slot.busy, slot.tip_ms, slot.open_ms = False, fetcher.tip_ms, fetcher.open_ms
        slot.ended, slot.caught_up = fetcher.ended, fetcher.caught_up
        if chunk is not None:
            slot.chunks.append(chunk)
            self._measure(slot)
        if chunk is not None or before != (slot.ended, slot.caught_up):
            self._news_count += 1
            self._news.notify_all()
        self._work.notify()

    def _run(self) -> None:
        try:
            while not self._stopped:
                if not self.run_due():
                    with self._lock:
                        self._work.wait(self._idle_s())
        except BaseException as error:  # the thread's outermost loop: whoever plans the next batch raises it
            self._fail(error)
            if not isinstance(error, KinesisSourceError):
                logger.exception("fetching stopped by an unexpected error")

    def _fail(self, error: BaseException, slot: _Slot | None = None) -> None:
        """End the fetching and the planning: a shard may have given out records that are not stored."""
        with self._lock:
            self._failure = self._failure or error
            self._stopped = True
            if slot is not None:
                slot.busy = False
            self._news_count += 1
            self._news.notify_all()
            self._work.notify_all()

    def _store(self, slot: _Slot, step: Step, tip_ms: int) -> Chunk | None:
        """``tip_ms``: what the shard was read up to before this step."""
        if not step.records:
            return None
        batch = arrow.rows(step.records, self._stream, slot.fetcher.shard_id)
        slot.written += 1
        first, last = step.records[0], step.records[-1]
        if not slot.chunks and slot.planned is None:  # the shard's first one: there is nothing before it
            tip_ms = min(first.arrival_ms, round(self._clock.now().timestamp() * 1000))
        return Chunk(
            slot.fetcher.shard_id,
            first.sequence_number,
            last.sequence_number,
            len(step.records),
            batch.num_rows,
            batch.nbytes,
            self._write(f"{slot.fetcher.shard_id}-{slot.written}", batch),
            0,
            first.arrival_ms,
            tip_ms,
            last.arrival_ms,
        )

    def _write(self, name: str, batch: pa.RecordBatch) -> str:
        """Spool rows. Those that do not fit are read from Kinesis again: the spool is a cache."""
        try:
            path = self._spool.write(name, batch)
        except SpoolError as error:
            if not self._spool_failed:
                logger.warning("rows cannot be spooled and are read from Kinesis again", extra={"reason": str(error)})
            self._spool_failed = True
            return self._spool.path(name)
        if self._spool_failed:
            logger.info("rows can be spooled again")
        self._spool_failed = False
        return path

    def _next_due(self) -> _Slot | None:
        if self._stopped or self._size >= self._buffer_bytes:
            return None
        now_s = self._clock.monotonic()
        due = [slot for slot in self._slots.values() if self._wants(slot) and slot.due_s <= now_s]
        return min(due, key=lambda slot: slot.due_s, default=None)

    def _wants(self, slot: _Slot) -> bool:
        return not slot.busy and not (slot.ended or slot.caught_up or slot.fetcher.gone)

    def _measure(self, slot: _Slot) -> None:
        """Count anew what waits in this slot."""
        before, slot.size = slot.size, sum(chunk.size for chunk in slot.waiting(slot.planned))
        self._size += slot.size - before

    def _idle_s(self) -> float:
        now_s = self._clock.monotonic()
        if self._size >= self._buffer_bytes:
            return _CHECK_S
        next_s = min((slot.due_s for slot in self._slots.values() if self._wants(slot)), default=now_s + _CHECK_S)
        return min(max(next_s - now_s, 0.001), _CHECK_S)

    def _drop(self, slot: _Slot, up_to: str | None) -> None:
        gone = [chunk for chunk in slot.chunks if up_to is None or not later(chunk.last, up_to)]
        slot.chunks = slot.chunks[len(gone) :]
        kept = {chunk.path for chunk in slot.chunks}
        for path in {chunk.path for chunk in gone} - kept:
            self._spool.delete(path)
        self._measure(slot)
