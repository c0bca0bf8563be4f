"""The part of a query that lives as long as the query does: offsets, listings, prefetch. No Spark types."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service_kit.retries import RetryPolicy

from kinesis_source.attempts import Attempts
from kinesis_source.errors import DataLossError, StreamReplacedError, UnavailableError
from kinesis_source.failures import CLIENT_ERRORS
from kinesis_source.fetch import FetchSettings, ShardFetcher
from kinesis_source.offsets import Offset, ShardOffset, Start, from_json, to_json
from kinesis_source.options import Options
from kinesis_source.planner import Chunk, Observed, TipRule, plan, readable, reconcile, starting_shards
from kinesis_source.prefetch import MAX_THREADS, Prefetcher, split
from kinesis_source.spool import Spool
from kinesis_source.stream import Shard, Stream, StreamInfo

logger = logging.getLogger(__name__)

IDLE_WAIT_S = 0.25
TIPS_PER_RETENTION = 24
"""So often, in a retention period, an idle query plans a batch without rows; see ``TipRule``."""


class Driver:
    """One query's reading of one stream. Not thread-safe: Spark calls one method after the other.

    Requests block, with retries, up to ``options.retry_deadline_s``; then they raise UnavailableError (or
    StreamMissingError). Every method that makes requests may raise AccessError and StreamReplacedError, too.
    """

    def __init__(
        self, stream: Stream, options: Options, spool: Spool, *, retries: RetryPolicy, threads: int = MAX_THREADS
    ) -> None:
        self._stream, self._options, self._spool, self._retries = stream, options, spool, retries
        self._clock = retries.clock
        self._info: StreamInfo | None = None
        self._initial: Offset | None = None
        self._began_ms = 0
        self._listed: Sequence[Shard] = ()
        self._listed_at_s = 0.0
        self._starting: dict[str, str] = {}
        self._stop_at_ms: int | None = None
        self._from_now: Start | None = None
        self._warned: set[str] = set()
        self._idle_wait_s = IDLE_WAIT_S if threads else 0.0
        self.prefetcher = Prefetcher(
            self._make_fetcher,
            spool,
            stream=options.stream,
            buffer_bytes=options.fetch_buffer_bytes,
            threads=threads,
            clock=self._clock,
        )

    def initial_offset(self) -> dict[str, Any]:
        """Where a query without a checkpoint begins. Spark asks twice and after a crash in the first batch."""
        if self._initial is None:
            info = self._identify(None)
            position = self._options.initial_position
            from_now = position.kind == "latest"
            self._began_ms = self._now_ms()
            at_ms = self._began_ms if from_now else position.at_ms
            start = Start("TRIM") if at_ms is None else Start("TS", at_ms)
            self._from_now = start if from_now else None
            self._refresh(force=True)
            self._initial = Offset(info.id, starting_shards(self._listed, start, from_now=from_now))
        return to_json(self._initial)

    def prepare_available_now(self) -> None:
        """Read what has arrived by now, and then be at the end. Comes before anything is fetched."""
        self._stop_at_ms = self._now_ms()
        self._listed = ()  # a shard may have been closed since; see ShardFetcher

    def latest_offset(self, start_json: dict[str, Any], max_rows: int | None) -> dict[str, Any]:
        """The end of the next batch; ``start_json`` itself if there is nothing new. A batch may have no rows.

        Waits a moment for new records; after ``prepare_available_now`` until all is there that was asked for.

        Raises:
            DataLossError: unread records are, or may be, gone, and that must not be.
        """
        start = from_json(start_json)
        self._identify(start)
        self.prefetcher.release(start)
        waited = False
        while True:
            news = self.prefetcher.news
            self._refresh(force=False)
            observed = self.prefetcher.observed(start)
            known = self._reconcile(start, observed)
            self.prefetcher.forget(known)
            wanted = readable(known, self._listed, {name for name, seen in observed.items() if seen.ended})
            self.prefetcher.ensure(wanted)
            tips = TipRule(self._identified.retention_ms // TIPS_PER_RETENTION, self._began_ms)
            found = plan(known, self._listed, observed, max_rows, split, tips=tips)
            if found is not None:
                # What was fetched before this listing belongs to the stream that the listing shows.
                self._refresh(force=True)
                self.prefetcher.plan(found.end, found.cuts)
                return to_json(found.end)
            if self._stop_at_ms is not None:
                # What was fetched since the first look is seen at the next one.
                if self.prefetcher.caught_up(wanted) and self.prefetcher.news == news:
                    return start_json
            elif waited:
                return start_json
            self.prefetcher.wait(news, self._idle_wait_s)
            waited = True

    def pieces(self, shard_id: str, first: str, last: str) -> Sequence[Chunk]:
        """Spool files that hold this range; empty if it has to be read from Kinesis."""
        return self.prefetcher.pieces(shard_id, first, last)

    def commit(self, end_json: Mapping[str, Any]) -> None:
        """All up to here has been processed."""
        self.prefetcher.release(from_json(end_json))

    def report(self) -> dict[str, Any] | None:
        """For the query's progress: how far each shard is behind its end, in milliseconds."""
        behind = self.prefetcher.behind_ms()
        if not behind:
            return None
        return {"behind_ms": max(behind.values()), "shards": {name: {"behind_ms": ms} for name, ms in behind.items()}}

    def stop(self) -> None:
        """End the threads and delete what they fetched; blocks for some seconds at most."""
        self.prefetcher.stop()
        self._spool.close()

    def _make_fetcher(self, shard_id: str, offset: ShardOffset) -> ShardFetcher:
        settings = FetchSettings(
            stream_id=self._identified.id,
            limit=self._options.max_records_per_fetch,
            poll_interval_s=self._options.poll_interval_s,
            retention_ms=self._identified.retention_ms,
            fail_on_data_loss=self._options.fail_on_data_loss,
            retries=self._retries,
        )
        # Only this process' own "now" may be read as the shard's end: after a restart it lies in the past.
        fresh = offset.start is not None and offset.start == self._from_now
        closed = any(shard.closed for shard in self._listed if shard.shard_id == shard_id)
        return ShardFetcher(
            self._stream, shard_id, offset, settings, fresh=fresh, closed=closed, stop_at_ms=self._stop_at_ms
        )

    def _identify(self, start: Offset | None) -> StreamInfo:
        """Describe the stream once, between two equal listings: so these shards are known to be this stream's."""
        waits = self._retries.waits()
        while self._info is None:
            before = _starting(self._list())
            info = self._request(self._stream.describe)
            if start is not None and info.id != start.stream:
                raise StreamReplacedError(start.stream, info.id)
            self._listed, self._listed_at_s = self._list(), self._clock.monotonic()
            self._starting = _starting(self._listed)
            if before.items() <= self._starting.items():
                self._info = info
            elif (wait_s := next(waits, None)) is not None:
                self._clock.sleep(wait_s)
            else:
                msg = f"stream {self._options.stream}: its shards change with every listing (retryDeadline)"
                raise UnavailableError(msg)
        return self._info

    @property
    def _identified(self) -> StreamInfo:
        if self._info is None:
            raise RuntimeError("nothing is fetched before the stream was identified")
        return self._info

    def _refresh(self, *, force: bool) -> None:
        """List the shards if it is time; notice there, too, that the stream is another one."""
        now_s = self._clock.monotonic()
        if not force and self._listed and now_s - self._listed_at_s < self._options.shard_fetch_interval_s:
            return
        listed = self._list()
        for shard_id, starting in _starting(listed).items():
            if self._starting.setdefault(shard_id, starting) != starting:
                raise StreamReplacedError(self._identified.id, self._request(self._stream.describe).id)
        self._listed, self._listed_at_s = listed, now_s

    def _list(self) -> Sequence[Shard]:
        return self._request(lambda: self._stream.list_shards(self._options.max_shards_per_describe))

    def _reconcile(self, start: Offset, observed: Mapping[str, Observed]) -> Offset:
        in_hand = {name for name, seen in observed.items() if seen.ended or seen.chunks}
        known, gone = reconcile(start, self._listed, in_hand, self._now_ms())
        for shard_id in gone:
            shard = start.shards[shard_id]
            if shard.tip_ms is not None and self._now_ms() - shard.tip_ms < self._identified.retention_ms:
                continue
            if self._options.fail_on_data_loss:
                raise DataLossError(
                    shard_id=shard_id,
                    lost=f"it has expired with all records after {shard.last or 'its beginning'}, and was not read to "
                    "its end",
                )
            if shard_id not in self._warned:
                self._warned.add(shard_id)
                logger.warning("shard expired unread", extra={"shard": shard_id, "after": shard.last})
        return known

    def _request[T](self, call: Callable[[], T]) -> T:
        """Call until it answers, within the bound."""

        attempts = Attempts(f"stream {self._options.stream}", self._retries)
        while True:
            try:
                return call()
            except CLIENT_ERRORS as error:
                wait_s = attempts.failed(error).wait_s
                logger.info(
                    "Kinesis does not answer, trying again",
                    extra={"wait_s": round(wait_s, 3), "reason": str(error)},
                )
            self._clock.sleep(wait_s)

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)


def _starting(shards: Sequence[Shard]) -> dict[str, str]:
    return {shard.shard_id: shard.starting for shard in shards}
