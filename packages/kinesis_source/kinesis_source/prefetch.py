"""Threads that fetch ahead of the query, into the spool, up to a number of bytes."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from service_kit.clock import Clock

from kinesis_source import records as arrow
from kinesis_source.errors import KinesisSourceError, SpoolError
from kinesis_source.fetch import ShardFetcher, Step
from kinesis_source.offsets import Offset, ShardOffset
from kinesis_source.planner import Chunk, Observed
from kinesis_source.slot import Slot
from kinesis_source.spool import Spool

logger = logging.getLogger(__name__)

MAX_THREADS = 16
_CHECK_S = 0.5
"""How often a waiting thread looks up, whatever it was told."""
_STOP_S = 5.0


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
        self._slots: dict[str, Slot] = {}
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
                    self._slots[shard_id] = Slot(
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
                    self._size += self._slots[shard_id].measure()
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
            return () if slot is None else slot.pieces(first, last)

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
            found = {shard_id: slot.behind_ms(now_ms, now_s) for shard_id, slot in self._slots.items()}
        return {shard_id: ms for shard_id, ms in found.items() if ms is not None}

    @property
    def unanswered(self) -> int:
        """How many shards have not answered since their fetching began, so that nobody knows what waits there."""
        with self._lock:
            return sum(slot.unanswered for slot in self._slots.values())

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
            if slot.take_over(chunk):
                self._news_count += 1
                self._news.notify_all()
            self._size += slot.measure()
            self._work.notify()
        return True

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

    def _fail(self, error: BaseException, slot: Slot | None = None) -> None:
        """End the fetching and the planning: a shard may have given out records that are not stored."""
        with self._lock:
            self._failure = self._failure or error
            self._stopped = True
            if slot is not None:
                slot.busy = False
            self._news_count += 1
            self._news.notify_all()
            self._work.notify_all()

    def _store(self, slot: Slot, step: Step, tip_ms: int) -> Chunk | None:
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

    def _next_due(self) -> Slot | None:
        if self._stopped or self._size >= self._buffer_bytes:
            return None
        now_s = self._clock.monotonic()
        due = [slot for slot in self._slots.values() if slot.wants and slot.due_s <= now_s]
        return min(due, key=lambda slot: slot.due_s, default=None)

    def _idle_s(self) -> float:
        now_s = self._clock.monotonic()
        if self._size >= self._buffer_bytes:
            return _CHECK_S
        next_s = min((slot.due_s for slot in self._slots.values() if slot.wants), default=now_s + _CHECK_S)
        return min(max(next_s - now_s, 0.001), _CHECK_S)

    def _drop(self, slot: Slot, up_to: str | None) -> None:
        for path in slot.drop(up_to):
            self._spool.delete(path)
        self._size += slot.measure()
