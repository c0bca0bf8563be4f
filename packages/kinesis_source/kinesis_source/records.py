"""Records as Arrow: the answer of GetRecords without Python objects per field, and the rows that Spark gets.

One pass over the body in C (JSON, Base64 and numbers at once) takes about 2 µs a record of 1 KB; botocore's own
parser with a datetime per record takes about 20.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("partitionKey", pa.string()),
        ("data", pa.binary()),
        ("stream", pa.string()),
        ("shardId", pa.string()),
        ("sequenceNumber", pa.string()),
        ("approximateArrivalTimestamp", pa.timestamp("us", tz="UTC")),
    ]
)
"""Databricks' schema, to the letter."""

SPARK_SCHEMA = (
    "partitionKey string, data binary, stream string, shardId string, sequenceNumber string, "
    "approximateArrivalTimestamp timestamp"
)


class Record(msgspec.Struct, gc=False, rename="pascal"):
    """One record; the arrival is in seconds since 1970."""

    sequence_number: str
    data: bytes
    partition_key: str
    approximate_arrival_timestamp: float

    @property
    def arrival_ms(self) -> int:
        """Time of arrival in whole milliseconds, which is all that Kinesis knows."""
        return round(self.approximate_arrival_timestamp * 1000)


class Page(msgspec.Struct, rename="pascal"):
    """One answer of GetRecords. No next iterator: the shard is closed and read to its end."""

    records: list[Record]
    next_shard_iterator: str | None = None
    millis_behind_latest: int = 0


_DECODER = msgspec.json.Decoder(Page)


def page_from_body(body: bytes) -> Page:
    """Decode the body of an answer.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: it is not an answer of GetRecords.
    """
    return _DECODER.decode(body)


def page_from_answer(answer: Mapping[str, Any]) -> Page:
    """The same from what boto3 made of it (a client without our hook, a fake)."""
    records = [
        Record(
            record["SequenceNumber"],
            record["Data"],
            record["PartitionKey"],
            epoch_s(record["ApproximateArrivalTimestamp"]),
        )
        for record in answer["Records"]
    ]
    return Page(records, answer.get("NextShardIterator"), answer.get("MillisBehindLatest") or 0)


def epoch_s(value: Any) -> float:
    """Seconds since 1970 of boto3's timestamp: a datetime, or a number with another parser."""
    return float(value.timestamp()) if hasattr(value, "timestamp") else float(value)


def rows(records: Sequence[Record], stream: str, shard_id: str) -> pa.RecordBatch:
    """The rows that Spark gets, in the order of the records."""
    count = len(records)
    columns = [
        pa.array([record.partition_key for record in records], pa.string()),
        pa.array([record.data for record in records], pa.binary()),
        pa.repeat(pa.scalar(stream, pa.string()), count),
        pa.repeat(pa.scalar(shard_id, pa.string()), count),
        pa.array([record.sequence_number for record in records], pa.string()),
        pa.array([record.arrival_ms * 1000 for record in records], SCHEMA.field(5).type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
