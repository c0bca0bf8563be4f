"""Records as Arrow: the answer of GetRecords without Python objects per field, and the rows that Spark gets.

One pass over the body in C (JSON, Base64 and numbers at once) takes about 2 µs a record of 1 KB; botocore's own
parser with a datetime per record takes about 20.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from kinesis_source.aggregation import MAGIC, sub_records
from kinesis_source.envelope import LATEST_ARRIVAL_S, lenient, shown_bytes, shown_key

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
    """One record; the arrival is in seconds since 1970. What of it cannot be decoded, see ``envelope``."""

    sequence_number: str
    data: bytes | None
    partition_key: str
    approximate_arrival_timestamp: Annotated[float, msgspec.Meta(ge=0, le=LATEST_ARRIVAL_S)]

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
_MARK_IN_BODY = (b"u001a", b"u001A")


def page_from_body(body: bytes) -> Page:
    """Decode the body of an answer; a record with a field that cannot be decoded is there, too.

    Raises:
        NotAnAnswerError: it is not an answer of GetRecords.
    """
    try:
        page = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = lenient(body)
        return _page(answer, [record["PartitionKey"] for record in answer["Records"]])
    if any(mark in body for mark in _MARK_IN_BODY):  # rare; in most cases by chance, in Base64
        for record in page.records:
            record.partition_key = shown_key(record.partition_key)
    return page


def page_from_answer(answer: Mapping[str, Any]) -> Page:
    """The same from what boto3 made of it (a client without our hook, a fake)."""
    return _page(answer, [shown_key(record["PartitionKey"]) for record in answer["Records"]])


def _page(answer: Mapping[str, Any], keys: Sequence[str]) -> Page:
    records = [
        Record(record["SequenceNumber"], record["Data"], key, epoch_s(record["ApproximateArrivalTimestamp"]))
        for record, key in zip(answer["Records"], keys, strict=True)
    ]
    return Page(records, answer.get("NextShardIterator"), answer.get("MillisBehindLatest") or 0)


def epoch_s(value: Any) -> float:
    """Seconds since 1970 of boto3's timestamp: a datetime, or a number with another parser."""
    return float(value.timestamp()) if hasattr(value, "timestamp") else float(value)


def rows(records: Sequence[Record], stream: str, shard_id: str) -> pa.RecordBatch:
    """The rows that Spark gets, in the order of the records: one for each, or for each sub-record of an aggregate."""
    keys, data, numbers, arrivals = [], [], [], []
    for record in records:
        # Nearly all of them are none: the call costs more than the look at their first bytes.
        inner = sub_records(record.data) if record.data is not None and record.data[:4] == MAGIC else None
        if inner is None:
            keys.append(record.partition_key)
            data.append(record.data)
            numbers.append(record.sequence_number)
            arrivals.append(record.arrival_ms * 1000)
        else:
            keys += [shown_bytes(one.key) for one in inner]
            data += [one.data for one in inner]
            numbers += [record.sequence_number] * len(inner)
            arrivals += [record.arrival_ms * 1000] * len(inner)
    columns = [
        pa.array(keys, pa.string()),
        pa.array(data, pa.binary()),
        pa.repeat(pa.scalar(stream, pa.string()), len(keys)),
        pa.repeat(pa.scalar(shard_id, pa.string()), len(keys)),
        pa.array(numbers, pa.string()),
        pa.array(arrivals, SCHEMA.field(5).type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
