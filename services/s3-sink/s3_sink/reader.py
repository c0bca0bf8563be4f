"""Reading from Kafka: records, ends, and batches that the client cannot read."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as KafkaPartition
from service_kit.clock import Clock

from s3_sink.coverage import Range
from s3_sink.ports import Batch, Header, HeadersError, LogUnavailableError, Record, TopicPartition, Unreadable

logger = logging.getLogger(__name__)

type _Headers = list[tuple[str, bytes | None]]

READING: Final[Mapping[str, Any]] = {
    "enable.auto.commit": False,
    # An offset that the log does not hold is an error that is looked into, never a silent jump.
    "auto.offset.reset": "error",
    # Where a partition ends says how far markers and other offsets without records reach.
    "enable.partition.eof": True,
    "fetch.error.backoff.ms": 100,
}
"""What every consumer here has."""

_READ_AT_ONCE = 2_000
_POLL_S = 0.1
_UNREADABLE = {KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED}


def unreadable_batch(message: Message) -> Unreadable | None:
    """What the client says of a batch that it can never read; None if it says something else."""
    error, offset = message.error(), message.offset()
    if error is None or error.code() not in _UNREADABLE or offset is None or offset < 0:
        return None
    return Unreadable(offset, error.str())


def first_behind(
    new_consumer: Callable[[], Consumer], place: TopicPartition, batch: Range, clock: Clock, timeout_s: float
) -> int:
    """Where the unreadable batch ends that begins with this range; the range's end at most.

    The broker gives a batch whole, from whichever of its offsets it is asked: where it is not this one any more, it
    has ended. (If the version byte in its header is damaged, the client tells nothing, and this raises.) Blocks for
    ``timeout_s`` at most per offset that is asked for: one for each doubling of the range.

    Raises:
        LogUnavailableError: an offset was not answered in time.
    """

    def is_behind(offset: int) -> bool:
        consumer = new_consumer()  # so that an answer to an earlier question cannot reach it
        try:
            consumer.assign([KafkaPartition(*place, offset)])
            deadline = clock.monotonic() + timeout_s
            while clock.monotonic() < deadline:
                message = consumer.poll(_POLL_S)
                if message is not None and (message.topic(), message.partition()) == place:
                    found = unreadable_batch(message)
                    return found is None or found.first != batch.first
        finally:
            consumer.close()
        msg = f"{place.topic}-{place.partition}: nothing was answered at offset {offset} within {timeout_s:g} s"
        raise LogUnavailableError(msg)

    first = batch.first + 1
    return first + bisect_left(range(first, batch.end), True, key=is_behind)


class KafkaReader:
    """See ``ports.Reader``: one consumer without a group's rebalancing, assigned by hand."""

    def __init__(self, consumer: Consumer, positions: Mapping[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._consumer.assign([KafkaPartition(*place, offset) for place, offset in positions.items()])
        # One name object per partition, looked up by what a message gives, instead of one per record.
        self._places: dict[tuple[str | None, int | None], TopicPartition] = {
            (place.topic, place.partition): place for place in positions
        }
        self._stopped: set[TopicPartition] = set()

    def read(self, timeout_s: float) -> Batch:
        """See ``ports.Reader``."""
        records: list[Record] = []
        failed: dict[TopicPartition, str] = {}
        ends: dict[TopicPartition, int] = {}
        unreadable: dict[TopicPartition, Unreadable] = {}
        for message in self._consumer.consume(_READ_AT_ONCE, timeout_s):
            error = message.error()
            place = self._places.get((message.topic(), message.partition()))
            if place is None:
                logger.warning("the Kafka client reports a problem", extra={"reason": error and error.str()})
            elif place in self._stopped:
                continue  # what comes behind a batch that was passed over is read again by another reader
            elif error is None:
                records.append(_record(place, message))
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[place] = cast("int", message.offset())
            elif (found := unreadable_batch(message)) is not None:
                unreadable[place] = found
                self._stopped.add(place)
            else:
                failed[place] = error.str()
        return Batch(records, failed, ends, unreadable)

    def pause(self, places: Sequence[TopicPartition]) -> None:
        """See ``ports.Reader``."""
        self._consumer.pause([KafkaPartition(*place) for place in places if place in self._places])

    def resume(self, places: Sequence[TopicPartition]) -> None:
        """See ``ports.Reader``."""
        self._consumer.resume([KafkaPartition(*place) for place in places if place in self._places])

    def end(self, place: TopicPartition) -> int | None:
        """See ``ports.Reader``."""
        if place not in self._places:
            return None
        _, high = self._consumer.get_watermark_offsets(KafkaPartition(*place), cached=True)
        return high if high >= 0 else None

    def close(self) -> None:
        """See ``ports.Reader``."""
        self._consumer.close()


def _record(place: TopicPartition, message: Message) -> Record:
    kind, milliseconds = message.timestamp()
    return Record(
        place,
        cast("int", message.offset()),
        message.key(),
        message.value(),
        None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds,
        partial(_headers, message),
        kind == TIMESTAMP_CREATE_TIME,
    )


def _headers(message: Message) -> tuple[Header, ...]:
    try:
        headers = message.headers()
        return () if headers is None else tuple(Header(key, value) for key, value in cast("_Headers", headers))
    except (UnicodeDecodeError, SystemError) as error:
        # The client takes keys for text and gives no header where one of them is not, as one of these two errors: it
        # returns a result and an error at once, which Python notices sooner or later.
        cause = error.__cause__ if isinstance(error, SystemError) else error
        if not isinstance(cause, UnicodeDecodeError):
            raise
        msg = f"the key of a header is not UTF-8: {cause.object!r:.100}, {cause.reason} at byte {cause.start}"
        raise HeadersError(msg) from error
