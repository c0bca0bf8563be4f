"""A range read from Kinesis itself: what a task does when the spool does not hold it (a restart, another host)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service_kit.clock import Clock
from service_kit.retries import RetryPolicy

from kinesis_source.attempts import Attempts
from kinesis_source.errors import DataLossError
from kinesis_source.failures import CLIENT_ERRORS, classify
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
        StreamReplacedError: the stream was recreated.
        UnavailableError, StreamMissingError: no answer for as long as ``retries`` says.
        AccessError: Kinesis refuses.
    """
    first, last = wanted.first, wanted.last
    attempts = Attempts(f"shard {wanted.shard_id}", retries, lambda: stream.check_identity(expected))
    pages = _Pages(stream, expected, wanted, options, attempts=attempts, clock=retries.clock)

    def lost(what: str) -> None:
        stream.check_identity(expected)
        if options.fail_on_data_loss:
            raise DataLossError(shard_id=wanted.shard_id, lost=what)
        logger.warning("records of a batch have expired", extra={"shard": wanted.shard_id, "reason": what})

    seen, count = None, 0
    while seen != last:
        page = pages.next()
        if page is None:
            lost(f"the shard has expired with its records from {seen or first} up to {last}")
            return
        passed = bool(page.records) and later(page.records[-1].sequence_number, last)
        records = [one for one in page.records if _lies_in(one.sequence_number, first, seen, last)]
        if records:
            if seen is None and records[0].sequence_number != first:
                lost(f"records from {first} up to {records[0].sequence_number} have expired")
            seen, count = records[-1].sequence_number, count + len(records)
            yield records
        at_end = page.next_shard_iterator is None or (not page.records and page.millis_behind_latest == 0)
        if seen != last and (passed or at_end):
            lost(f"records from {seen or first} up to {last} have expired")
            return
    if wanted.count is not None and count < wanted.count:
        lost(f"{wanted.count - count} of {wanted.count} records from {first} up to {last} have expired")


def _lies_in(number: str, first: str, seen: str | None, last: str) -> bool:
    """Whether this record is the range's and was not given out before."""
    return not later(number, last) and (not later(first, number) if seen is None else later(number, seen))


class _Pages:
    """Pages from the range's first record on, with retries; after one it may give the last record again."""

    def __init__(
        self, stream: Stream, expected: StreamId, wanted: Wanted, options: Options, *, attempts: Attempts, clock: Clock
    ) -> None:
        self._stream, self._expected, self._shard_id, self._options = stream, expected, wanted.shard_id, options
        self._attempts, self._clock = attempts, clock
        self._at = wanted.first
        self._iterator: str | None = None
        self._due_s = 0.0

    def next(self) -> Page | None:
        """The next page; None: the stream has no such shard any more."""
        while True:
            self._pause(self._due_s - self._clock.monotonic())
            self._due_s = self._clock.monotonic() + self._options.poll_interval_s
            try:
                page = self._fetch()
            except CLIENT_ERRORS as error:
                again = self._attempts.failed(error)
                if again.new_iterator:
                    self._iterator = None
                if again.failure == "missing" and self._is_gone():
                    return None
                self._pause(again.wait_s)
            else:
                self._attempts.worked()
                return page

    def _fetch(self) -> Page:
        if self._iterator is None:
            self._iterator = self._open()
        page = self._stream.fetch(self._iterator, self._options.max_records_per_fetch)
        self._iterator = page.next_shard_iterator
        if page.records:
            self._at = page.records[-1].sequence_number
        return page

    def _open(self) -> str:
        try:
            return self._stream.from_sequence_number(self._shard_id, self._at)
        except CLIENT_ERRORS as error:
            if classify(error) != "invalid":
                raise
            self._stream.check_identity(self._expected)
            return self._stream.from_oldest(self._shard_id)

    def _is_gone(self) -> bool:
        try:
            return self._stream.lacks(self._shard_id)
        except CLIENT_ERRORS:
            return False  # not known: asked again at the next try

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._clock.sleep(seconds)
