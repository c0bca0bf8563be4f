"""Headers of a dead-lettered record: the origin's coordinate and the reason.

The first names are Kafka Connect's, so that one reader serves both sinks
(https://kafka.apache.org/documentation/#connect_errantrecordreporter); ``log-id`` is ours.
"""

from typing import Final

TOPIC: Final = "__connect.errors.topic"
PARTITION: Final = "__connect.errors.partition"
OFFSET: Final = "__connect.errors.offset"
CONNECTOR: Final = "__connect.errors.connector.name"
STAGE: Final = "__connect.errors.stage"
MESSAGE: Final = "__connect.errors.exception.message"
LOG_ID: Final = "pipeline.log-id"
HEADER_ROOM_BYTES = 16_384
"""How much larger than an event topic's records the dead-letter topic's may be."""
