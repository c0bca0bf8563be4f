"""The log on Kafka. The only file that imports the Kafka client."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
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
        for message in self._consumer.consume(_READ_AT_ONCE, timeout_s):
            error = message.error()
            place = self._places.get((message.topic(), message.partition()))
            if place is None:
                logger.warning("the Kafka client reports a problem", extra={"reason": error and error.str()})
            elif error is None:
                records.append(_record(place, message))
            else:
                failed[place] = error.str()
        return Batch(records, failed)

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
    headers = message.headers()
    return Record(
        place,
        cast("int", message.offset()),
        message.key(),
        message.value(),
        None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds,
        () if headers is None else tuple(Header(key, value) for key, value in cast("_Headers", headers)),
    )


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
        offsets: list[int] = []
        with _kafka_failures("the ends of a partition cannot be asked"):
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
                asked = self._admin.list_offsets({KafkaPartition(*place): spec}, request_timeout=self._timeout_s)
                offsets.extend(answer.result(self._timeout_s + 1).offset for answer in asked.values())
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
        outcomes: list[KafkaError | None] = []

        def reported(error: KafkaError | None, _message: Message) -> None:
            outcomes.append(error)

        with _kafka_failures(f"dead letters cannot be stored in {topic}"):
            for letter in letters:
                self._produce(topic, letter, reported)
            while len(outcomes) < len(letters):  # ends: every letter is reported within delivery.timeout.ms
                self._producer.poll(_POLL_S)
        errors = [error for error in outcomes if error is not None]
        if errors:
            msg = f"{len(errors)} of {len(letters)} dead letters cannot be stored in {topic}: {errors[0].str()}"
            raise LogUnavailableError(msg)

    def _produce(self, topic: str, letter: DeadLetter, reported: Callable[[KafkaError | None, Message], None]) -> None:
        headers: list[tuple[str, str | bytes | None]] = [(header.key, header.value) for header in letter.headers]
        while True:
            try:
                self._producer.produce(topic, letter.value, letter.key, headers=headers, on_delivery=reported)
            except BufferError:  # the client's queue is full; it empties within delivery.timeout.ms
                self._producer.poll(_POLL_S)
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
