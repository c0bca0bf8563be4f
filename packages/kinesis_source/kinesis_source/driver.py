"""The part of a query that lives as long as the query does: offsets, listings, prefetch. No Spark types."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service_kit.retries import RetryPolicy

from kinesis_source.cut import split
from kinesis_source.errors import DataLossError
from kinesis_source.fetch import FetchSettings, ShardFetcher
from kinesis_source.horizon import START_GRACE_MS, may_be_lost
from kinesis_source.listing import Listing
from kinesis_source.offsets import Offset, ShardOffset, Start, from_json, to_json
from kinesis_source.options import Options
from kinesis_source.planner import Chunk, Observed, Plan, Sightings, TipRule, plan, readable, reconcile, starting_shards
from kinesis_source.prefetch import MAX_THREADS, Prefetcher
from kinesis_source.spool import Spool
from kinesis_source.stream import Stream

logger = logging.getLogger(__name__)

IDLE_WAIT_S = 0.25
_RETENTION_AGE_S = 1.0
"""How old the known retention may be where a loss depends on it: AWS allows 20 calls a second per account."""
TIPS_PER_RETENTION = 24
"""How often, per retention period, an idle query plans a batch without rows; see ``TipRule``."""


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
        self._listing = Listing(stream, options, retries)
        self._seen = Sightings(self._listing.open_ms, self._listing.absent_ms)
        self._initial: Offset | None = None
        self._began_ms = 0
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
            info = self._listing.identify(None)
            position = self._options.initial_position
            from_now = position.kind == "latest"
            self._began_ms = self._now_ms()
            at_ms = self._began_ms if from_now else position.at_ms
            start = Start("TRIM") if at_ms is None else Start("TS", at_ms)
            self._from_now = start if from_now else None
            self._listing.refresh(force=True)
            oldest_ms = max(self._began_ms - info.retention_ms + START_GRACE_MS, info.id.created_ms, at_ms or 0)
            shards = starting_shards(self._listing.shards, start, oldest_ms, from_now=from_now)
            self._initial = Offset(info.id, shards, self._listing.at_ms, info.retention_ms)
        return to_json(self._initial)

    def prepare_available_now(self) -> None:
        """Read what has arrived by now, and then be at the end. Comes before anything is fetched."""
        self._stop_at_ms = self._now_ms()
        self._listing.forget()  # a shard may have been closed since; see ShardFetcher

    def latest_offset(self, start_json: dict[str, Any], max_rows: int | None) -> dict[str, Any]:
        """The end of the next batch; ``start_json`` itself if there is nothing new. A batch may have no rows.

        Waits a moment for new records; after ``prepare_available_now`` until all is there that was asked for.

        Raises:
            DataLossError: unread records are, or may be, gone, and that must not be.
        """
        start = from_json(start_json)
        self._listing.identify(start)
        self._listing.refresh_retention()
        self.prefetcher.release(start)
        waited = False
        while True:
            news = self.prefetcher.news
            self._listing.refresh(force=False)
            observed = self.prefetcher.observed(start)
            known = self._reconcile(start, observed)
            self.prefetcher.forget(known)
            wanted = readable(known, self._listing.shards, {name for name, seen in observed.items() if seen.ended})
            self.prefetcher.ensure(wanted)
            found = self._plan(start, known, observed, max_rows)
            if found is not None:
                return found
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
        """For the query's progress: the lag of each shard in milliseconds, and when it was measured."""
        behind, unanswered = self.prefetcher.behind_ms(), self.prefetcher.unanswered
        if not behind:
            return None
        shards = {name: {"behind_ms": ms} for name, ms in behind.items()}
        return {"behind_ms": max(behind.values()), "at_ms": self._now_ms(), "shards": shards, "unanswered": unanswered}

    def stop(self) -> None:
        """End the threads and delete what they fetched; blocks for some seconds at most."""
        self.prefetcher.stop()
        self._spool.close()

    def _make_fetcher(self, shard_id: str, offset: ShardOffset) -> ShardFetcher:
        retention = self._listing.retention
        settings = FetchSettings(
            stream_id=self._listing.id,
            limit=self._options.max_records_per_fetch,
            poll_interval_s=self._options.poll_interval_s,
            retention_ms=lambda: retention.shortest_ms(_RETENTION_AGE_S),
            fail_on_data_loss=self._options.fail_on_data_loss,
            retries=self._retries,
        )
        # Only this process' own "now" may be read as the shard's end: after a restart it lies in the past.
        fresh = offset.start is not None and offset.start == self._from_now
        closed = any(shard.closed for shard in self._listing.shards if shard.shard_id == shard_id)
        return ShardFetcher(
            self._stream, shard_id, offset, settings, fresh=fresh, closed=closed, stop_at_ms=self._stop_at_ms
        )

    def _plan(
        self, start: Offset, known: Offset, observed: Mapping[str, Observed], max_rows: int | None
    ) -> dict[str, Any] | None:
        found = self._end(start, known, observed, max_rows)
        if found is None:
            return None
        # What was fetched before this listing belongs to the stream that the listing shows. And children of a shard
        # that this batch closes, or was fetched to its end, are to stand in the same offset.
        before = self._listing.shards
        self._listing.refresh(force=True)
        if self._listing.shards != before:
            known = self._reconcile(start, observed)
            found = self._end(start, known, observed, max_rows)
            if found is None:
                return None
        unread = [shard.tip_ms for shard in found.end.shards.values() if not shard.closed]
        oldest_ms = min((ms for ms in unread if ms is not None), default=None) if None not in unread else None
        retention_ms = self._listing.retention.settle(oldest_ms, self._now_ms())
        end = replace(found.end, listed_ms=self._listing.at_ms, retention_ms=retention_ms)
        self.prefetcher.plan(end, found.cuts)
        return to_json(end)

    def _end(self, start: Offset, known: Offset, observed: Mapping[str, Observed], max_rows: int | None) -> Plan | None:
        return plan(
            known,
            self._listing.shards,
            observed,
            max_rows,
            split,
            tips=TipRule(self._listing.retention.settle(None, 0) // TIPS_PER_RETENTION, self._began_ms),
            seen=self._seen,
            changed=bool(known.shards.keys() - start.shards.keys()),
        )

    def _reconcile(self, start: Offset, observed: Mapping[str, Observed]) -> Offset:
        known, gone = reconcile(start, self._listing.shards, observed, self._seen)
        for shard_id in gone:
            shard = start.shards[shard_id]
            since_ms = max(shard.tip_ms or 0, start.stream.created_ms)
            if shard_id in self._warned or not self._may_be_lost(since_ms, shard.last_ms):
                continue
            if self._options.fail_on_data_loss:
                raise DataLossError(
                    shard_id=shard_id,
                    lost=f"it has expired with all records after {shard.last or 'its beginning'}, and was not read to "
                    "its end",
                )
            self._warned.add(shard_id)
            logger.warning("shard expired unread", extra={"shard": shard_id, "after": shard.last or "its beginning"})
        return known

    def _may_be_lost(self, since_ms: int, gone_ms: int | None) -> bool:
        retention = self._listing.retention
        return self._listing.request(
            lambda: may_be_lost(self._now_ms(), since_ms, lambda: retention.shortest_ms(_RETENTION_AGE_S), gone_ms)
        )

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)
