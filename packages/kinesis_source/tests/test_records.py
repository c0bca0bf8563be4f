import base64
import json
from datetime import UTC, datetime

import msgspec
import pytest
from kinesis_source.records import SCHEMA, page_from_answer, page_from_body, rows

ENTRIES = [
    {
        "SequenceNumber": "49",
        "ApproximateArrivalTimestamp": 1.4412154108670001e9,
        "Data": base64.b64encode(bytes(range(256))).decode(),
        "PartitionKey": "ключ",
        "EncryptionType": "NONE",
    },
    {"SequenceNumber": "50", "ApproximateArrivalTimestamp": 1441215411, "Data": "", "PartitionKey": "b"},
]


def body(**fields: object) -> bytes:
    return json.dumps({"Records": ENTRIES, "MillisBehindLatest": 7, "ChildShards": []} | fields).encode()


def test_a_body_and_boto3s_reading_of_it_are_one() -> None:
    page = page_from_body(body(NextShardIterator="next"))
    answer = {
        "Records": [
            {
                "SequenceNumber": entry["SequenceNumber"],
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(float(entry["ApproximateArrivalTimestamp"]), UTC),  # type: ignore[arg-type]
                "Data": base64.b64decode(str(entry["Data"])),
                "PartitionKey": entry["PartitionKey"],
            }
            for entry in ENTRIES
        ],
        "NextShardIterator": "next",
        "MillisBehindLatest": 7,
    }
    other = page_from_answer(answer)
    assert (page.next_shard_iterator, page.millis_behind_latest) == ("next", 7)
    assert rows(page.records, "s", "shard").equals(rows(other.records, "s", "shard"))


@pytest.mark.parametrize("end", [{}, {"NextShardIterator": None}])
def test_the_end_of_a_closed_shard(end: dict[str, None]) -> None:
    assert page_from_body(body(**end)).next_shard_iterator is None


def test_rows() -> None:
    batch = rows(page_from_body(body()).records, "clicks", "shardId-000000000001")
    assert batch.schema == SCHEMA
    assert batch.to_pylist() == [
        {
            "partitionKey": "ключ",
            "data": bytes(range(256)),
            "stream": "clicks",
            "shardId": "shardId-000000000001",
            "sequenceNumber": "49",
            "approximateArrivalTimestamp": datetime(2015, 9, 2, 17, 36, 50, 867000, UTC),
        },
        {
            "partitionKey": "b",
            "data": b"",
            "stream": "clicks",
            "shardId": "shardId-000000000001",
            "sequenceNumber": "50",
            "approximateArrivalTimestamp": datetime(2015, 9, 2, 17, 36, 51, tzinfo=UTC),
        },
    ]


@pytest.mark.parametrize("text", [b"", b"<html>502</html>", b'{"Records": [{"Data": "not base64"}]}', b"{}"])
def test_what_is_no_answer(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        page_from_body(text)
