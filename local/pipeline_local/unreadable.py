"""Batches in Kafka that the client can never read, since they are damaged or too large unpacked: where they end."""

import time
from bisect import bisect_left

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

TIMEOUT_S = 10.0
_POLL_S = 0.1
_CODES = {KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED}


def first_offset(message: Message) -> int | None:
    """Where the batch begins that the client says it cannot read; None if it says something else."""
    error, offset = message.error(), message.offset()
    return offset if error is not None and error.code() in _CODES and offset is not None and offset >= 0 else None


def first_behind(servers: str, topic: str, partition: int, first: int, high: int) -> int:
    """The first offset behind the batch that begins at ``first``; ``high`` at most.

    A broker gives a batch whole, from whichever of its offsets it is asked, so its end is found by asking for some
    (one for each doubling of the range). Blocks for 10 s at most per offset.

    Raises:
        KafkaException: one of them was not answered.
    """
    settings = {
        "bootstrap.servers": servers,
        "group.id": "pipeline-looks",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_uncommitted",
        "log_level": 0,
    }

    def is_behind(offset: int) -> bool:
        consumer = Consumer(settings)  # a new one: an answer to an earlier question cannot reach it
        try:
            consumer.assign([TopicPartition(topic, partition, offset)])
            deadline = time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                message = consumer.poll(_POLL_S)
                if message is not None and (message.topic(), message.partition()) == (topic, partition):
                    return first_offset(message) != first
        finally:
            consumer.close()
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{topic}-{partition}: no answer at offset {offset}"))

    return first + 1 + bisect_left(range(first + 1, high), True, key=is_behind)
