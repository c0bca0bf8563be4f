"""Reads a few records of a Kafka topic, to look at."""

from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

TIMEOUT_S = 10.0


class TopicUnreadableError(RuntimeError):
    """Kafka does not answer, or refuses; the message holds its own words."""


def read(servers: str, topic: str, limit: int, *, last: bool) -> list[dict[str, Any]]:
    """The oldest records of a topic, or the newest, over all partitions, in the order of their time.

    Raises:
        TopicUnreadableError: they cannot be read.
    """
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "pipeline-consume", "enable.auto.commit": False, "log_level": 0}
    )
    try:
        return _records(consumer, topic, limit, last=last)
    except KafkaException as error:
        raise TopicUnreadableError(f"Kafka at {servers}: {error}") from error
    finally:
        consumer.close()


def _records(consumer: Consumer, topic: str, limit: int, *, last: bool) -> list[dict[str, Any]]:
    metadata = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    assignment = []
    available = 0
    for partition in metadata.partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
        start = max(low, high - limit) if last else low
        available += high - start
        assignment.append(TopicPartition(topic, partition, start))
    consumer.assign(assignment)
    messages: list[Message] = []
    while len(messages) < min(limit, available) and (got := consumer.consume(limit, timeout=TIMEOUT_S)):
        messages += [message for message in got if message.error() is None]
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
