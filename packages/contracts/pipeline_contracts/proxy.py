"""The produce half of the Kafka REST v2 wire format (``docs/wire.md``, Proxy)."""

from typing import Final

import msgspec

JSON_V2: Final = "application/vnd.kafka.json.v2+json"
BINARY_V2: Final = "application/vnd.kafka.binary.v2+json"
ANSWER_V2: Final = "application/vnd.kafka.v2+json"
TOPIC_ID_HEADER: Final = "Kafka-Topic-Id"
"""Response header of a produce request: the topic's id, which tells a topic from its successor of one name."""

RETRIABLE = 2
NOT_RETRIABLE = 1


class ProducedRecord(msgspec.Struct, frozen=True):
    """One entry of ``offsets``, in the order of the request's records.

    ``error_code`` is None for a stored record, 1 where sending again cannot help, 2 where it may.
    """

    partition: int | None
    offset: int | None
    error_code: int | None
    error: str | None


class ProduceAnswer(msgspec.Struct, frozen=True):
    """The body of a 200 (or of a 422 where every record failed)."""

    offsets: list[ProducedRecord]
    key_schema_id: int | None = None
    value_schema_id: int | None = None


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of every error."""

    error_code: int
    message: str
