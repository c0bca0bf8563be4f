"""One shard's reading position, moved step by step: no thread, no file, no Spark.

A step is one GetRecords. Where it cannot be done now, the step says when to try again, until the bound is over.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from service_kit.clock import Clock
from service_kit.retries import RetryPolicy

from kinesis_source.attempts import Attempts
from kinesis_source.errors import DataLossError
from kinesis_source.failures import CLIENT_ERRORS, classify, timed_out
from kinesis_source.horizon import is_safe, may_be_lost
from kinesis_source.identity import StreamId
from kinesis_source.offsets import ShardOffset, later
from kinesis_source.records import Page, Record
from kinesis_source.stream import Stream

logger = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 1.0
_PAUSE_OF_IDLE = 1 / 8
"""A pause is at least this share of the time in which nothing has come, but no longer than the longest."""
_CHECK_AGAIN_MS = 60_000
"""How often a position that is over a day old is checked, while no record follows it."""


@dataclass(frozen=True)
class FetchSettings:
    """What all shards of a query share."""

    stream_id: StreamId
    limit: int
    poll_interval_s: float
    retention_ms: Callable[[], int]
    """The shortest that counts; may make a request, with its errors."""
    fail_on_data_loss: bool
    retries: RetryPolicy

    @property
    def clock(self) -> Clock:
        """The clock that everything here uses."""
        return self.retries.clock


@dataclass(frozen=True)
class Step:
    """New records, in order, and how long to wait before the next step."""

    records: Sequence[Record]
    wait_s: float


class ShardFetcher:
    """Reads one shard from an offset on, each record once.

    ``ended``: the shard is closed and all of it was given out. ``caught_up``: nothing is left that arrived by
    ``stop_at_ms``. ``gone``: it is not listed any more. With any of them no step is needed any more. ``tip_ms``: all
    that arrived before then was given out (or not asked for, or its loss was said). ``open_ms``: it was open then.
    ``behind_ms``: what Kinesis said last of the distance from the shard's end, at ``answered_s``.
    """

    def __init__(
        self,
        stream: Stream,
        shard_id: str,
        offset: ShardOffset,
        settings: FetchSettings,
        *,
        fresh: bool = False,
        closed: bool = False,
        stop_at_ms: int | None = None,
    ) -> None:
        """``fresh``: a start at a time means now. ``closed``: the shard is known to be.

        ``stop_at_ms``: give out nothing that arrived later.
        """
        self.shard_id = shard_id
        self.ended = False
        self.caught_up = False
        self.gone = False
        self.tip_ms = max(offset.tip_ms or 0, settings.stream_id.created_ms)
        self.open_ms: int | None = None
        self.behind_ms: int | None = None
        self.answered_s = settings.clock.monotonic()
        self._stream, self._settings, self._fresh, self._closed = stream, settings, fresh, closed
        self._start, self._last, self._last_ms = offset.start, offset.last, offset.last_ms
        self._last_news_s = settings.clock.monotonic()
        self._iterator: str | None = None
        self._unchecked = False
        self._checked: tuple[str | None, int] | None = None
        self._not_before_ms: int | None = None
        self._stop_at_ms = stop_at_ms
        self._attempts = Attempts(
            f"shard {shard_id}", settings.retries, lambda: stream.check_identity(settings.stream_id)
        )

    def step(self) -> Step:
        """One GetRecords; blocks for its time.

        Raises:
            DataLossError: the next records have, or may have, expired, and that must not be.
            StreamReplacedError: the stream was recreated.
            UnavailableError, StreamMissingError: no answer for as long as the retry policy says.
            AccessError: Kinesis refuses.
        """
        asked_ms = self._now_ms()
        try:
            if self._iterator is None or self._position_is_old(asked_ms):
                self._iterator = self._open()
            page = self._stream.fetch(self._iterator, self._settings.limit)
            self._check(page, asked_ms)
        except CLIENT_ERRORS as error:
            return Step((), self._failed(error))
        self._attempts.worked()
        self.answered_s = self._settings.clock.monotonic()
        records = self._unread(page)
        self._iterator = page.next_shard_iterator
        self._advance(page, records, asked_ms)
        return Step(records, self._pause_s(page))

    def _pause_s(self, page: Page) -> float:
        """Seconds until the next request. Where nothing comes they grow to a second: each request has its price."""
        now_s = self._settings.clock.monotonic()
        if page.records or page.millis_behind_latest != 0:
            self._last_news_s = now_s
        idle_s = now_s - self._last_news_s
        return max(self._settings.poll_interval_s, min(idle_s * _PAUSE_OF_IDLE, _LONGEST_PAUSE_S))

    def _advance(self, page: Page, records: Sequence[Record], asked_ms: int) -> None:
        if records:
            # By both clocks: Kinesis' own says when a record came, ours and the distance how long ago that is.
            read_ms = min(records[-1].arrival_ms, asked_ms - page.millis_behind_latest)
            self._last, self._last_ms = records[-1].sequence_number, records[-1].arrival_ms
            self.tip_ms, self.open_ms = max(self.tip_ms, read_ms), max(self.open_ms or 0, read_ms)
        at_tip = not page.records and page.millis_behind_latest == 0
        if at_tip:
            self.tip_ms = max(self.tip_ms, asked_ms)
        self.behind_ms = page.millis_behind_latest
        if self.caught_up:  # cut at the time given: what follows is for another run
            return
        self.ended = page.next_shard_iterator is None
        # A closed shard has children that go on: it is done when it says so, not when nothing comes.
        self.caught_up = self.ended or (at_tip and self._stop_at_ms is not None and not self._closed)

    def _open(self) -> str:
        """An iterator for the position. After a record: at that record, to see that it is still there."""
        self._unchecked, self._not_before_ms = True, None
        if self._last is not None:
            return self._open_at_last(self._last)
        if self._start is None or self._start.kind == "TRIM" or self._start.at_ms is None:
            return self._stream.from_oldest(self.shard_id)
        try:
            return self._stream.from_time(self.shard_id, self._start.at_ms)
        except CLIENT_ERRORS as error:
            refused = classify(error) == "invalid"
            if not refused and not timed_out(error):
                raise
            # Servers refuse a time ahead of their clock: then all that is there is older than our now.
            if refused and self._fresh:
                return self._stream.from_latest(self.shard_id)
            # kinesalite never answers if there is no record so late.
            logger.info("shard is read from its oldest record to find a time", extra={"shard": self.shard_id})
            iterator = self._stream.from_oldest(self.shard_id)
            self._not_before_ms = self._start.at_ms
            return iterator

    def _open_at_last(self, last: str) -> str:
        try:
            return self._stream.from_sequence_number(self.shard_id, last)
        except CLIENT_ERRORS as error:
            if classify(error) != "invalid":
                raise
            self._stream.check_identity(self._settings.stream_id)
            return self._stream.from_oldest(self.shard_id)

    def _check(self, page: Page, asked_ms: int) -> None:
        """Whether an iterator's first page directly follows what was read: Kinesis skips expired records silently."""
        if not self._unchecked:
            return
        first = page.records[0] if page.records else None
        if first is None and page.millis_behind_latest != 0 and page.next_shard_iterator is not None:
            return  # not known yet
        if self._last is None or first is None or first.sequence_number != self._last:
            self._trimmed(first)
        if self._last is None and first is not None and first.arrival_ms and self._not_before_ms is None:
            self.tip_ms = min(first.arrival_ms, asked_ms)  # nothing is older
        self._unchecked, self._checked = False, (self._last, asked_ms)

    def _unread(self, page: Page) -> Sequence[Record]:
        records: Sequence[Record] = page.records
        if self._last is not None:
            read = 0
            while read < len(records) and not later(records[read].sequence_number, self._last):
                read += 1
            records = records[read:]
        if records and self._not_before_ms is not None:
            early = _count_until(records, "before", self._not_before_ms)
            records = records[early:]
            if records:
                self._not_before_ms = None
        if records and self._stop_at_ms is not None:
            kept = _count_until(records, "until", self._stop_at_ms)
            self.caught_up = kept < len(records)
            records = records[:kept]
        return records

    def _trimmed(self, following: Record | None) -> None:
        """The last record that was read has expired, or there was none. Did later ones expire unread?"""
        now_ms = self._now_ms()
        if not may_be_lost(now_ms, self.tip_ms, self._settings.retention_ms, self._last_ms):
            return
        after, before = self._last or "its beginning", "now" if following is None else following.sequence_number
        lost = f"records after {after} and before {before} may have expired unread"
        if self._settings.fail_on_data_loss:
            raise DataLossError(shard_id=self.shard_id, lost=lost)
        logger.warning(
            "records may have expired unread",
            extra={"shard": self.shard_id, "after": after, "before": before},
        )
        # This is said once.
        self.tip_ms = max(self.tip_ms, now_ms if following is None else min(following.arrival_ms, now_ms))

    def _position_is_old(self, now_ms: int) -> bool:
        """Whether records after the position may have expired, if somebody lowered retention to its minimum.

        Then Kinesis would go on at its oldest record without a word.
        """
        if self._unchecked or is_safe(now_ms, self.tip_ms):
            return False
        if self._checked is None or self._checked[0] != self._last:
            return True
        return now_ms - self._checked[1] >= _CHECK_AGAIN_MS

    def _failed(self, error: Exception) -> float:
        """How long to wait after this error; raises what is final."""
        again = self._attempts.failed(error)
        if again.new_iterator:
            self._iterator = None
        if again.failure == "missing" and self._is_gone():
            self.gone = True
        logger.info(
            "shard could not be read, retrying",
            extra={"shard": self.shard_id, "wait_s": round(again.wait_s, 3), "reason": str(error)},
        )
        return 0.0 if again.failure == "expired" else max(again.wait_s, self._settings.poll_interval_s)

    def _is_gone(self) -> bool:
        try:
            return self._stream.lacks(self.shard_id)
        except CLIENT_ERRORS:
            return False  # not known: the next step asks again

    def _now_ms(self) -> int:
        return round(self._settings.clock.now().timestamp() * 1000)


def _count_until(records: Sequence[Record], side: Literal["before", "until"], at_ms: int) -> int:
    """How many records come first that arrived before ``at_ms`` (or at it, with ``until``)."""
    for count, record in enumerate(records):
        if record.arrival_ms == 0:  # it cannot be decoded
            if side == "before":
                return count
            continue
        if record.arrival_ms > at_ms or (side == "before" and record.arrival_ms == at_ms):
            return count
    return len(records)
