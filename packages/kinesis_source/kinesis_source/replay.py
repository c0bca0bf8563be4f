"""A range read from Kinesis itself: what a task does when the spool does not hold it (a restart, another host)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service_kit.clock import Clock
from service_kit.retries import RetryPolicy

from kinesis_source.attempts import Attempts
from kinesis_source.errors import DataLossError
from kinesis_source.failures import CLIENT_ERRORS
from kinesis_source.identity import StreamId
from kinesis_source.offsets import later
from kinesis_source.options import Options
from kinesis_source.records import Page, Record
from kinesis_source.stream import Stream

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """The records of a shard from ``first`` to ``last``, both included: ``count`` of them, if that is known."""

    shard_id: str
    first: str
    last: str
    count: int | None


def read_range(
    stream: Stream, expected: StreamId, wanted: Wanted, *, options: Options, retries: RetryPolicy
) -> Iterator[Sequence[Record]]:
    """The records, page by page; blocks for each. What is missing of them is known at the last one.

    Raises:
        DataLossError: some of them have expired, and that must not be.
        StreamReplacedError: the stream was made anew.
        UnavailableError, StreamMissingError: no answer for as long as ``retries`` says.
        AccessError: Kinesis refuses.
    """
    first, last = wanted.first, wanted.last
    attempts = Attempts(f"shard {wanted.shard_id}", retries, lambda: stream.check_identity(expected))
    pages = _Pages(stream, wanted.shard_id, options, attempts, clock=retries.clock, first=first)

    def lost(what: str) -> None:
        stream.check_identity(expected)
        if options.fail_on_data_loss:
            raise DataLossError(shard_id=wanted.shard_id, lost=what)
        logger.warning("records of a batch have expired", extra={"shard": wanted.shard_id, "reason": what})

    seen, count = None, 0
    while seen != last:
        page = pages.next()
        records = [record for record in page.records if not later(record.sequence_number, last)]
        if records:
            if seen is None and records[0].sequence_number != first:
                lost(f"records from {first} up to {records[0].sequence_number} have expired")
            seen, count = records[-1].sequence_number, count + len(records)
            yield records
        passed = len(records) < len(page.records)
        at_end = page.next_shard_iterator is None or (not page.records and page.millis_behind_latest == 0)
        if seen != last and (passed or at_end):
            lost(f"records from {seen or first} up to {last} have expired")
            return
    if wanted.count is not None and count < wanted.count:
        lost(f"{wanted.count - count} of {wanted.count} records from {first} up to {last} have expired")


class _Pages:
    """Pages from a sequence number on, with retries."""

    def __init__(
        self, stream: Stream, shard_id: str, options: Options, attempts: Attempts, *, clock: Clock, first: str
    ) -> None:
        self._stream, self._shard_id, self._options = stream, shard_id, options
        self._attempts, self._clock = attempts, clock
        self._at, self._skip_at = first, False
        self._iterator: str | None = None
        self._due_s = 0.0

    def next(self) -> Page:
        while True:
            self._pause(self._due_s - self._clock.monotonic())
            self._due_s = self._clock.monotonic() + self._options.poll_interval_s
            try:
                page = self._fetch()
            except CLIENT_ERRORS as error:
                again = self._attempts.failed(error)
                if again.new_iterator:
                    self._iterator = None
                self._pause(again.wait_s)
            else:
                self._attempts.worked()
                return page

    def _fetch(self) -> Page:
        if self._iterator is None:
            self._iterator = self._stream.from_sequence_number(self._shard_id, self._at)
        page = self._stream.fetch(self._iterator, self._options.max_records_per_fetch)
        self._iterator = page.next_shard_iterator
        if page.records:
            records = page.records
            if self._skip_at and records[0].sequence_number == self._at:
                records = records[1:]
            self._at, self._skip_at = page.records[-1].sequence_number, True
            page.records = records
        return page

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._clock.sleep(seconds)
