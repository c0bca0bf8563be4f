"""The gateway's stream routes (``docs/wire.md``, Gateway)."""

from typing import Any

import msgspec

MAX_RECORDS_PER_REQUEST = 500
MAX_REQUEST_BYTES = 5 * 1024 * 1024


class PutRecordsEntry(msgspec.Struct, frozen=True, rename={"partition_key": "partition-key"}):
    """One record of ``PUT /streams/{stream}/records``; ``data`` is the row itself, not Base64."""

    data: Any
    partition_key: str


class PutRecordsRequest(msgspec.Struct, frozen=True):
    """Body of ``PUT /streams/{stream}/records``."""

    records: list[PutRecordsEntry]


class PutRecordsResult(msgspec.Struct, frozen=True, rename="pascal"):
    """One entry of the answer; a failed one has an error code instead of a sequence number."""

    sequence_number: str | None = None
    shard_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class PutRecordsAnswer(msgspec.Struct, frozen=True, rename="pascal"):
    """Kinesis' own answer; a 200 may hold failed entries."""

    failed_record_count: int
    records: list[PutRecordsResult]


class StreamSummary(
    msgspec.Struct, frozen=True, rename={"stream_arn": "StreamARN", "created_s": "StreamCreationTimestamp"}
):
    """What ``GET /streams/{stream}`` says of a stream; ``created_s`` is seconds since 1970."""

    stream_arn: str
    created_s: float

    @property
    def log_id(self) -> str:
        """Tells a stream from its successor of one name: ARN, ``@``, creation time in milliseconds."""
        return f"{self.stream_arn}@{round(self.created_s * 1000)}"


class StreamSummaryAnswer(msgspec.Struct, frozen=True):
    """Body of the answer to ``GET /streams/{stream}`` (DescribeStreamSummary)."""

    summary: StreamSummary = msgspec.field(name="StreamDescriptionSummary")
