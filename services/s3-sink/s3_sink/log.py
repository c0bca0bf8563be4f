"""The log on Kafka. The only file that imports the Kafka client."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
)
from confluent_kafka import (
    TopicPartition as KafkaPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from s3_sink.ports import (
    Batch,
    DeadLetter,
    Header,
    HeadersError,
    LettersTooLargeError,
    LogUnavailableError,
    Record,
    TopicPartition,
    TopicState,
    Watermarks,
)

logger = logging.getLogger(__name__)

type _Headers = list[tuple[str, bytes | None]]

_READ_AT_ONCE = 2_000
# What the client may hold before anybody has read it; the windows have limits of their own.
_PREFETCH_KIB = 16_384
_LARGEST_MESSAGE = 100_000_000
_POLL_S = 0.1
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
_UNKNOWN_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}


class KafkaReader:
    """See ``ports.Reader``: one consumer without a group's rebalancing, assigned by hand."""

    def __init__(self, consumer: Consumer, positions: Mapping[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._consumer.assign([KafkaPartition(*place, offset) for place, offset in positions.items()])
        # One name object per partition, looked up by what a message gives, instead of one per record.
        self._places: dict[tuple[str | None, int | None], TopicPartition] = {
            (place.topic, place.partition): place for place in positions
        }

    def read(self, timeout_s: float) -> Batch:
        """See ``ports.Reader``."""
        records: list[Record] = []
        failed: dict[TopicPartition, str] = {}
        ends: dict[TopicPartition, int] = {}
        for message in self._consumer.consume(_READ_AT_ONCE, timeout_s):
            error = message.error()
            place = self._places.get((message.topic(), message.partition()))
            if place is None:
                logger.warning("the Kafka client reports a problem", extra={"reason": error and error.str()})
            elif error is None:
                records.append(_record(place, message))
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[place] = cast("int", message.offset())
            else:
                failed[place] = error.str()
        return Batch(records, failed, ends)

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


class KafkaLog:
    """See ``ports.Log``. ``group`` is the consumer's group id, which it needs but does not use for positions."""

    def __init__(self, bootstrap_servers: str, group: str, timeout_s: float) -> None:
        self._common: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "client.id": group,
            "logger": logger,
            "reconnect.backoff.max.ms": 1_000,
        }
        self._group = group
        self._timeout_s = timeout_s
        self._admin = AdminClient(self._common)
        self._producer = Producer(
            {
                **self._common,
                "enable.idempotence": True,  # with acks=all
                "compression.type": "zstd",
                # The limit of a record counts after compression, and only the topic knows it.
                "message.max.bytes": _LARGEST_MESSAGE,
                "delivery.timeout.ms": int(timeout_s * 1_000),
                "linger.ms": 5,
            }
        )

    def describe(self, topics: Iterable[str]) -> dict[str, TopicState]:
        """See ``ports.Log``."""
        # Both clients hand over what they have to log only when they are polled.
        self._admin.poll(0)
        self._producer.poll(0)
        found = {}
        with _kafka_failures("topics cannot be described"):
            asked = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=self._timeout_s)
            for topic, answer in asked.items():
                try:
                    description = answer.result(self._timeout_s + 1)
                except KafkaException as error:
                    if error.args[0].code() not in _UNKNOWN_TOPIC:
                        raise
                else:
                    found[topic] = TopicState(str(description.topic_id), len(description.partitions))
        return found

    def watermarks(self, place: TopicPartition) -> Watermarks:
        """See ``ports.Log``."""
        asked: list[tuple[OffsetSpec, IsolationLevel]] = [
            (OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED),  # type: ignore[no-untyped-call]
            (OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED),  # type: ignore[no-untyped-call]
            (OffsetSpec.latest(), IsolationLevel.READ_COMMITTED),  # type: ignore[no-untyped-call]
        ]
        offsets: list[int] = []
        with _kafka_failures("the ends of a partition cannot be asked"):
            for spec, isolation in asked:
                answers = self._admin.list_offsets(
                    {KafkaPartition(*place): spec}, isolation_level=isolation, request_timeout=self._timeout_s
                )
                offsets.extend(answer.result(self._timeout_s + 1).offset for answer in answers.values())
        return Watermarks(*offsets)

    def open(self, positions: Mapping[TopicPartition, int]) -> KafkaReader:
        """See ``ports.Log``."""
        consumer = Consumer(
            {
                **self._common,
                "group.id": self._group,
                "enable.auto.commit": False,
                # An offset that the log does not hold is an error that is looked into, never a silent jump.
                "auto.offset.reset": "error",
                # What was aborted is no record; where one ends says how far markers and other holes reach.
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": _PREFETCH_KIB,
                # By default the client rests for a second once it holds that much, in the middle of a backlog.
                "fetch.queue.backoff.ms": 20,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
            }
        )
        return KafkaReader(consumer, positions)

    def dead_letter(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """See ``ports.Log``."""
        with _kafka_failures(f"dead letters cannot be stored in {topic}"):
            outcomes = self._send(topic, letters)
            if len(letters) > 1:  # a batch is refused as a whole: each one alone shows which are too large
                for number, error in enumerate(outcomes):
                    if error is not None and error.code() in _TOO_LARGE:
                        (outcomes[number],) = self._send(topic, [letters[number]])
        errors = [error for error in outcomes if error is not None]
        too_large = [number for number, error in enumerate(outcomes) if error and error.code() in _TOO_LARGE]
        if errors and len(errors) == len(too_large):
            msg = f"{len(errors)} of {len(letters)} dead letters are larger than {topic} takes"
            raise LettersTooLargeError(msg, frozenset(too_large))
        if errors:
            msg = f"{len(errors)} of {len(letters)} dead letters cannot be stored in {topic}: {errors[0].str()}"
            raise LogUnavailableError(msg)

    def _send(self, topic: str, letters: Sequence[DeadLetter]) -> list[KafkaError | None]:
        """The error of each letter, None where it is stored."""
        outcomes: dict[int, KafkaError | None] = {}
        for number, letter in enumerate(letters):
            self._produce(topic, letter, partial(outcomes.__setitem__, number))
        while len(outcomes) < len(letters):  # ends: every letter is reported within delivery.timeout.ms
            self._producer.poll(_POLL_S)
        return [outcomes[number] for number in range(len(letters))]

    def _produce(self, topic: str, letter: DeadLetter, outcome: Callable[[KafkaError | None], None]) -> None:
        headers: list[tuple[str, str | bytes | None]] = [
            (header.key, header.value) for header in (*letter.headers, *letter.origin)
        ]

        def reported(error: KafkaError | None, _message: Message) -> None:
            outcome(error)

        while True:
            try:
                self._producer.produce(topic, letter.value, letter.key, headers=headers, on_delivery=reported)
            except BufferError:  # the client's queue is full; it empties within delivery.timeout.ms
                self._producer.poll(_POLL_S)
            except KafkaException as error:
                if error.args[0].code() not in _TOO_LARGE:
                    raise
                outcome(error.args[0])
                return
            else:
                return


@contextmanager
def _kafka_failures(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        msg = f"{what}: {error.args[0].str()}"
        raise LogUnavailableError(msg) from error
    except TimeoutError as error:
        msg = f"{what}: no answer in time"
        raise LogUnavailableError(msg) from error
