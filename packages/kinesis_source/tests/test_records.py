import base64
import json
from datetime import UTC, datetime

import pytest
from kinesis_source.aggregation import SubRecord, aggregate
from kinesis_source.envelope import NotAnAnswerError
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


def record(**fields: object) -> bytes:
    """A good record, one with these fields, and another good one."""
    return json.dumps({"Records": [ENTRIES[0], ENTRIES[1] | fields, ENTRIES[1] | {"SequenceNumber": "51"}]}).encode()


@pytest.mark.parametrize(
    ("fields", "key", "data"),
    [
        ({"PartitionKey": "Nice post \ud83d"}, r'{"PartitionKey":"Nice post \ud83d"}', b""),
        ({"PartitionKey": "\ude00\ud83d"}, r'{"PartitionKey":"\ude00\ud83d"}', b""),
        ({"PartitionKey": None}, '{"PartitionKey":null}', b""),
        ({"PartitionKey": "\x1a{}"}, r'{"PartitionKey":"\u001a{}"}', b""),
        ({"Data": "no Base64!"}, '{"Data":"no Base64!","PartitionKey":"b"}', None),
        ({"Data": 7}, '{"Data":7,"PartitionKey":"b"}', None),
        (
            {"ApproximateArrivalTimestamp": 1e300},
            '{"ApproximateArrivalTimestamp":1e+300,"PartitionKey":"b"}',
            b"",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_record_with_a_field_that_cannot_be_decoded_is_there(
    fields: dict[str, object], key: str, data: bytes | None
) -> None:
    found = rows(page_from_body(record(**fields)).records, "s", "shard").to_pylist()
    assert [row["partitionKey"] for row in found] == ["ключ", "\x1a" + key, "b"]
    assert [row["sequenceNumber"] for row in found] == ["49", "50", "51"]
    assert [row["data"] for row in found] == [bytes(range(256)), data, b""]
    assert json.loads(found[1]["partitionKey"][1:]) == {"PartitionKey": "b"} | fields


def test_bytes_that_are_no_text_are_kept() -> None:
    found = page_from_body(record(PartitionKey="KEY").replace(b"KEY", b"\xff\xfe"))
    assert found.records[1].partition_key == "\x1a" + r'{"PartitionKey":"\udcff\udcfe"}'


def test_boto3s_reading_of_half_an_emoji() -> None:
    entry = ENTRIES[1] | {"PartitionKey": "\ud83d", "Data": b""}
    assert page_from_answer({"Records": [entry]}).records[0].partition_key == "\x1a" + r'{"PartitionKey":"\ud83d"}'


def test_an_aggregate_is_a_row_for_each_of_its_records() -> None:
    data = aggregate([SubRecord(b"k1", b"x"), SubRecord(b"\xff", b""), SubRecord("ключ".encode(), b"z")])
    found = rows(page_from_body(record(Data=base64.b64encode(data).decode())).records, "s", "shard").to_pylist()
    assert [(row["sequenceNumber"], row["partitionKey"], row["data"]) for row in found[1:-1]] == [
        ("50", "k1", b"x"),
        ("50", "\x1a" + r'{"PartitionKey":"\udcff"}', b""),
        ("50", "ключ", b"z"),
    ]
    assert {row["approximateArrivalTimestamp"] for row in found[1:]} == {datetime(2015, 9, 2, 17, 36, 51, tzinfo=UTC)}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>502</html>",
        b"{}",
        b"[1]",
        b"[" * 100_000,
        b'{"Records": {}}',
        b'{"Records": [{"Data": ""}]}',
        record(PartitionKey=None, SequenceNumber=None),
        b'{"Records": [], "NextShardIterator": 1}',
        b'{"Records": [], "MillisBehindLatest": "1"}',
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_answer(text: bytes) -> None:
    with pytest.raises(NotAnAnswerError):
        page_from_body(text)
