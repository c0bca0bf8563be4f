"""Reads a few records of a Kafka topic, to look at."""

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline_local import unreadable

TIMEOUT_S = 10.0
MOST_AT_ONCE = 10_000
"""Records that one call of the client may hand over; it takes a million at most."""


class TopicUnreadableError(RuntimeError):
    """Kafka does not answer, or refuses; the message holds its own words."""


def read(servers: str, topic: str, limit: int, *, last: bool) -> list[dict[str, Any]]:
    """The oldest records of a topic, or the newest, over all partitions, in the order of their time.

    A batch that cannot be read stands among them with its offsets and the reason, before what has a time.

    Raises:
        TopicUnreadableError: they cannot be read.
    """
    reading = _Reading(servers, topic, limit)
    try:
        return reading.records(last=last)
    except KafkaException as error:
        raise TopicUnreadableError(f"Kafka at {servers}: {error}") from error
    finally:
        reading.close()


class _Reading:
    """Of each partition so many records as are asked for of all: any of them may hold all the oldest, or newest."""

    def __init__(self, servers: str, topic: str, limit: int) -> None:
        self._consumer = _consumer(servers)
        self._servers = servers
        self._topic = topic
        self._limit = limit
        self._missing: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._messages: list[Message] = []
        self._unreadable: list[dict[str, Any]] = []

    def records(self, *, last: bool) -> list[dict[str, Any]]:
        self._begin(last=last)
        # More than is there would be waited for until the deadline.
        while (wanted := sum(self._missing.values())) and (
            got := self._consumer.consume(min(wanted, MOST_AT_ONCE), timeout=TIMEOUT_S)
        ):
            for message in got:
                partition, first = message.partition(), unreadable.first_offset(message)
                if partition is None or not self._missing.get(partition):
                    continue
                if first is not None:
                    self._pass_over(partition, first, message)
                    break  # the rest of them come again
                self._take(partition, message)
            if full := [partition for partition, missing in self._missing.items() if not missing]:
                self._consumer.pause([TopicPartition(self._topic, partition) for partition in full])
        messages = sorted(self._messages, key=lambda one: (one.timestamp()[1], one.partition() or 0, one.offset() or 0))
        chosen = messages[-self._limit :] if last else messages[: self._limit]
        return self._unreadable + [
            {
                "partition": message.partition(),
                "offset": message.offset(),
                "key": _text(message.key()),
                "value": _text(message.value()),
            }
            for message in chosen
        ]

    def _begin(self, *, last: bool) -> None:
        for partition in self._consumer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic].partitions:
            place = TopicPartition(self._topic, partition)
            low, high = self._consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
            self._ends[partition] = high
            self._positions[partition] = max(low, high - self._limit) if last else low
            self._missing[partition] = min(self._limit, high - self._positions[partition])
        self._assign()

    def close(self) -> None:
        self._consumer.close()

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, *position) for position in self._positions.items()])

    def _take(self, partition: int, message: Message) -> None:
        error, offset = message.error(), message.offset()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if error is not None:
            self._missing[partition] = 0  # at the offsets that are left there are no records, but markers
        elif offset is not None:
            self._missing[partition] -= 1
            self._positions[partition] = offset + 1
            self._messages.append(message)

    def _pass_over(self, partition: int, first: int, message: Message) -> None:
        high = self._ends[partition]
        end = unreadable.first_behind(self._servers, self._topic, partition, first, high)
        reason = str(message.error())
        self._unreadable.append({"partition": partition, "offset": first, "up_to": end - 1, "unreadable": reason})
        self._positions[partition] = end
        self._missing[partition] = min(self._missing[partition], high - end)
        # Another one, which reads on where what was taken of each partition ends, and has fetched nothing else.
        self.close()
        self._consumer = _consumer(self._servers)
        self._assign()


def _consumer(servers: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "pipeline-consume",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )


def _text(data: bytes | str | None) -> str | None:
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
