"""How the audit reads streams, on LocalStack with the product's Kinesis."""

import uuid
from typing import TYPE_CHECKING

import boto3
import pytest
from pipeline_contracts.content import content_hash
from pipeline_local.audit.stages import StageUnreachableError
from pipeline_local.audit.stream_stage import PAGE_RECORDS, KinesisStage, StreamContents
from servers import LocalStack

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

HALF = str(2**127)


@pytest.fixture(scope="module")
def client(localstack: LocalStack) -> "KinesisClient":
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("kinesis", "us-east-1", endpoint_url=localstack.endpoint_url, **keys)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def stream(client: "KinesisClient") -> str:
    name = f"audit-{uuid.uuid4().hex[:8]}"
    make(client, name)
    return name


def make(client: "KinesisClient", name: str, shards: int = 1) -> None:
    client.create_stream(StreamName=name, ShardCount=shards)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def put(client: "KinesisClient", name: str, first: int, count: int) -> dict[tuple[str, str], str]:
    """Records of one number each; their hashes by (shard, sequence number)."""
    found = {}
    for start in range(first, first + count, 500):
        numbers = range(start, min(start + 500, first + count))
        entries = [{"Data": b"%d" % n, "PartitionKey": str(n)} for n in numbers]
        answer = client.put_records(StreamName=name, Records=entries)  # type: ignore[arg-type]
        assert answer["FailedRecordCount"] == 0
        for n, record in zip(numbers, answer["Records"], strict=True):
            found[record["ShardId"], record["SequenceNumber"]] = content_hash(b"%d" % n)
    return found


def read(localstack: LocalStack, name: str) -> StreamContents:
    return KinesisStage.connect(localstack.endpoint_url, "us-east-1", "test", "test").read([name])


def as_put(contents: StreamContents) -> dict[tuple[str, str], str]:
    rows = contents.records.to_pylist()
    found = {(row["partition"], row["offset"]): row["content_hash"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_shard_of_more_than_one_page(localstack: LocalStack, client: "KinesisClient", stream: str) -> None:
    """The laptop's Kinesis says of every page that it is the last."""
    expected = put(client, stream, 0, PAGE_RECORDS + 1)
    assert as_put(read(localstack, stream)) == expected


def test_shards_that_were_split_and_merged(localstack: LocalStack, client: "KinesisClient", stream: str) -> None:
    expected = put(client, stream, 0, 20)
    client.split_shard(StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    expected |= put(client, stream, 100, 20)
    client.merge_shards(
        StreamName=stream, ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002"
    )
    client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    expected |= put(client, stream, 200, 20)
    contents = read(localstack, stream)
    assert contents.logs[0].shards == tuple(f"shardId-{number:012}" for number in range(4))
    assert as_put(contents) == expected
    assert {shard for shard, _ in expected} == set(contents.logs[0].shards)


def test_a_stream_made_anew_is_another_log(localstack: LocalStack, client: "KinesisClient", stream: str) -> None:
    put(client, stream, 0, 5)
    before = read(localstack, stream).logs[0]
    client.delete_stream(StreamName=stream)
    client.get_waiter("stream_not_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    make(client, stream)
    after = read(localstack, stream)
    assert len(after.records) == 0
    assert after.logs[0].log_id != before.log_id
    assert after.logs[0].created_at > before.created_at > before.horizon


def test_a_stream_that_is_not_there(localstack: LocalStack) -> None:
    with pytest.raises(StageUnreachableError, match=r"no-such-stream.*not found"):
        read(localstack, "no-such-stream")


def test_nobody_answers() -> None:
    stage = KinesisStage.connect("http://127.0.0.1:9", "us-east-1", "test", "test")
    with pytest.raises(StageUnreachableError, match="the streams s cannot be read"):
        stage.read(["s"])
