"""A range read from Kinesis itself: what a task does when the spool does not hold it (a restart, another host)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service_kit.retries import RetryPolicy

from kinesis_source.errors import AccessError, DataLossError, StreamReplacedError
from kinesis_source.failures import CLIENT_ERRORS, classify
from kinesis_source.fetch import given_up
from kinesis_source.identity import StreamId
from kinesis_source.offsets import later
from kinesis_source.options import Options
from kinesis_source.records import Page, Record
from kinesis_source.stream import Stream

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """The records of a shard from ``first`` to ``last``, both included: ``rows`` of them, if that is known."""

    shard_id: str
    first: str
    last: str
    rows: int | None


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
    pages = _Pages(stream, expected, wanted.shard_id, options, retries, first=first)

    def lost(what: str) -> None:
        pages.check_identity()
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
    if wanted.rows is not None and count < wanted.rows:
        lost(f"{wanted.rows - count} of {wanted.rows} records from {first} up to {last} have expired")


class _Pages:
    """Pages from a sequence number on, with retries."""

    def __init__(
        self, stream: Stream, expected: StreamId, shard_id: str, options: Options, retries: RetryPolicy, *, first: str
    ) -> None:
        self._stream, self._expected, self._shard_id = stream, expected, shard_id
        self._options, self._retries, self._clock = options, retries, retries.clock
        self._at, self._skip_at = first, False
        self._iterator: str | None = None
        self._due_s = 0.0

    def next(self) -> Page:
        waits: Iterator[float] | None = None
        while True:
            self._pause(self._due_s - self._clock.monotonic())
            self._due_s = self._clock.monotonic() + self._options.poll_interval_s
            try:
                return self._fetch()
            except CLIENT_ERRORS as error:
                failure = classify(error)
                if failure in ("missing", "invalid"):
                    self.check_identity()
                if failure == "fatal":
                    raise AccessError(f"shard {self._shard_id}: {error}") from error
                if failure != "transient":
                    self._iterator = None
                waits = waits or self._retries.waits()
                wait_s = next(waits, None)
                if wait_s is None:
                    raise given_up(failure, f"shard {self._shard_id}", self._retries.deadline_s, error) from error
                self._pause(wait_s)

    def check_identity(self) -> None:
        """Raise if the stream is another now; no answer proves nothing."""
        try:
            found = self._stream.describe().id
        except CLIENT_ERRORS:
            return
        if found != self._expected:
            raise StreamReplacedError(self._expected, found)

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
