"""The log on Kafka. This file and ``reader`` are the only ones that import the Kafka client."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from confluent_kafka import (
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
from service_kit.clock import SystemClock

from s3_sink.coverage import Range
from s3_sink.ports import (
    DeadLetter,
    LettersTooLargeError,
    LogUnavailableError,
    TopicPartition,
    TopicState,
    Unreadable,
    Watermarks,
)
from s3_sink.reader import READING, KafkaReader, first_behind

logger = logging.getLogger(__name__)

# What the client may hold before anybody has read it; the windows have limits of their own.
_PREFETCH_KIB = 16_384
_LARGEST_MESSAGE = 100_000_000
_POLL_S = 0.1
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
_UNKNOWN_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}


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
                **READING,
                "group.id": self._group,
                # What was aborted is no record.
                "isolation.level": "read_committed",
                "queued.max.messages.kbytes": _PREFETCH_KIB,
                # By default the client rests for a second once it holds that much, in the middle of a backlog.
                "fetch.queue.backoff.ms": 20,
                "fetch.wait.max.ms": 100,
            }
        )
        return KafkaReader(consumer, positions)

    def behind(self, place: TopicPartition, found: Unreadable, high: int) -> int:
        """See ``ports.Log``."""
        settings = {
            **self._common,
            **READING,
            "group.id": self._group,
            # Nothing may be held back: what lies behind may be of a transaction that has not ended.
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": 10,
            "queued.max.messages.kbytes": 1_024,
        }
        batch = Range(found.first, high)
        return first_behind(lambda: Consumer(settings), place, batch, SystemClock(), self._timeout_s)

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
