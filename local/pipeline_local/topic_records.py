"""Reads a few records of a Kafka topic, to look at."""

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

TIMEOUT_S = 10.0
MOST_AT_ONCE = 10_000
"""Records that one call of the client may hand over; it takes a million at most."""


class TopicUnreadableError(RuntimeError):
    """Kafka does not answer, or refuses; the message holds its own words."""


def read(servers: str, topic: str, limit: int, *, last: bool) -> list[dict[str, Any]]:
    """The oldest records of a topic, or the newest, over all partitions, in the order of their time.

    Raises:
        TopicUnreadableError: they cannot be read.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "pipeline-consume",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        return _records(consumer, topic, limit, last=last)
    except KafkaException as error:
        raise TopicUnreadableError(f"Kafka at {servers}: {error}") from error
    finally:
        consumer.close()


def _records(consumer: Consumer, topic: str, limit: int, *, last: bool) -> list[dict[str, Any]]:
    """Of each partition so many records as are asked for of all: any of them may hold all the oldest, or newest."""
    metadata = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    missing: dict[int, int] = {}
    assignment = []
    for partition in metadata.partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
        start = max(low, high - limit) if last else low
        missing[partition] = min(limit, high - start)
        assignment.append(TopicPartition(topic, partition, start))
    consumer.assign(assignment)
    messages: list[Message] = []
    # More than is there would be waited for until the deadline.
    while (wanted := sum(missing.values())) and (got := consumer.consume(min(wanted, MOST_AT_ONCE), timeout=TIMEOUT_S)):
        for message in got:
            partition, error = message.partition(), message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF and partition is not None:
                missing[partition] = 0  # at the offsets that are left there are no records, but markers
            elif error is None and partition is not None and missing[partition]:
                missing[partition] -= 1
                messages.append(message)
        if full := [one for one in assignment if not missing[one.partition]]:
            consumer.pause(full)
    messages.sort(key=lambda message: (message.timestamp()[1], message.partition() or 0, message.offset() or 0))
    chosen = messages[-limit:] if last else messages[:limit]
    return [
        {
            "partition": message.partition(),
            "offset": message.offset(),
            "key": _text(message.key()),
            "value": _text(message.value()),
        }
        for message in chosen
    ]


def _text(data: bytes | str | None) -> str | None:
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
