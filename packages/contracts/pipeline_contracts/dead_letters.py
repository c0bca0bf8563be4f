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
LAST_OFFSET: Final = "pipeline.last-offset"
"""Of a letter for a whole batch that no client can read: up to which offset, itself included, it goes."""
UNREADABLE_HEADERS: Final = "pipeline.unreadable-headers"
"""In the place of headers that the sink could not read: why not."""
CUT: Final = "pipeline.cut-"
"""And ``value``, ``key`` or ``headers``: what was too large for the topic, its full length and its hash."""
HASH_BYTES: Final = 16
KEPT_BYTES: Final = (65_536, 4_096, 0)
"""How many bytes are left of a letter that is too large, of each of its three parts: the first that the topic takes."""
HEADER_ROOM_BYTES = 16_384
"""How much larger than an event topic's records the dead-letter topic's may be."""
