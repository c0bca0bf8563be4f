"""Topic settings that hold on every broker, local or MSK."""

import msgspec

from pipeline_contracts.dead_letters import HEADER_ROOM_BYTES
from pipeline_contracts.events import MAX_RECORD_BYTES
from pipeline_contracts.names import TOPIC_PARTITIONS, Names

# A record batch adds its header, the key and framing to the value.
_BATCH_ROOM_BYTES = 48_576


class TopicSpec(msgspec.Struct, frozen=True):
    """One topic: partitions and configuration (https://kafka.apache.org/documentation/#topicconfigs)."""

    name: str
    partitions: int
    config: dict[str, str]


def topic_specs(names: Names) -> list[TopicSpec]:
    """The event topics and the dead-letter topic.

    ``LogAppendTime`` makes order by (timestamp, partition, offset) the order of arrival, whatever clock a
    sender has. Retention is unlimited, because S3 objects are rebuilt from the log when a bucket is lost.
    """
    common = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1", "cleanup.policy": "delete"}
    record = MAX_RECORD_BYTES + _BATCH_ROOM_BYTES
    events = [
        TopicSpec(topic, TOPIC_PARTITIONS, {**common, "max.message.bytes": str(record)}) for topic in names.topics
    ]
    dlq = TopicSpec(names.dead_letter_topic, 1, {**common, "max.message.bytes": str(record + HEADER_ROOM_BYTES)})
    return [*events, dlq]
