"""What AWS answers and the laptop's Kinesis never does. The rest: ``tests/integration/test_audit_streams.py``."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber
from kinesis_source.aggregation import SubRecord, aggregate
from pipeline_contracts.content import content_hash
from pipeline_local.audit.stages import StageUnreachableError
from pipeline_local.audit.stream_stage import KinesisStage
from service_kit.clock import ManualClock

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

START = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/s"


@pytest.fixture
def client() -> "KinesisClient":
    return boto3.client("kinesis", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


@pytest.fixture
def kinesis(client: "KinesisClient") -> Iterator[Stubber]:
    """Answers in the order given, checked against Kinesis' own description of its API."""
    with Stubber(client) as stubber:
        yield stubber


def summary(created: datetime = START) -> dict[str, Any]:
    return {
        "StreamDescriptionSummary": {
            "StreamName": "s", "StreamARN": ARN, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": created, "EnhancedMonitoring": [], "OpenShardCount": 1,
        }
    }  # fmt: skip


def shards(*numbers: int, token: str | None = None) -> dict[str, Any]:
    ranges = {"HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"}}
    found = [
        {"ShardId": f"shardId-{number:012}", "SequenceNumberRange": {"StartingSequenceNumber": "1"}, **ranges}
        for number in numbers
    ]
    return {"Shards": found} | ({"NextToken": token} if token else {})


def page(*numbers: int, behind: int = 0, last: bool = False, at: datetime = START) -> dict[str, Any]:
    records = [
        {"SequenceNumber": str(n), "Data": b"%d" % n, "PartitionKey": "1", "ApproximateArrivalTimestamp": at}
        for n in numbers
    ]
    return {"Records": records, "MillisBehindLatest": behind} | ({} if last else {"NextShardIterator": "next"})


def expect(kinesis: Stubber, *pages: dict[str, Any] | str, created: datetime = START) -> None:
    """One stream of one shard that gives these pages, or errors; recreated meanwhile if ``created`` is later."""
    kinesis.add_response("describe_stream_summary", summary(), {"StreamName": "s"})
    kinesis.add_response("list_shards", shards(0))
    kinesis.add_response("get_shard_iterator", {"ShardIterator": "first"})
    for one in pages:
        if isinstance(one, str):
            kinesis.add_client_error("get_records", one)
        else:
            kinesis.add_response("get_records", one)
    kinesis.add_response("describe_stream_summary", summary(created))
    kinesis.add_response("list_shards", shards(0))


def offsets(client: "KinesisClient", clock: ManualClock | None = None) -> list[str]:
    numbers: list[str] = KinesisStage(client, clock or ManualClock(START)).read(["s"]).records["offset"].to_pylist()
    return numbers


def test_an_empty_page_is_not_the_end_while_it_is_behind(client: "KinesisClient", kinesis: Stubber) -> None:
    expect(kinesis, page(1), page(behind=5000), page(2), page())
    assert offsets(client) == ["1", "2"]
    kinesis.assert_no_pending_responses()


def test_an_aggregate_is_as_many_records_as_it_holds(client: "KinesisClient", kinesis: Stubber) -> None:
    """As the reader takes it: the first has the sequence number, the others a number behind it."""
    taken = page(1, 2, 3)
    inner = [b"a", b"b", b"c"]
    taken["Records"][1]["Data"] = aggregate([SubRecord(b"key", data) for data in inner])
    expect(kinesis, taken, page())
    found = KinesisStage(client, ManualClock(START)).read(["s"]).records.to_pylist()
    hashes = {row["offset"]: row["content_hash"] for row in found}
    expected = {"1": b"1", "2": b"a", "2.1": b"b", "2.2": b"c", "3": b"3"}
    assert hashes == {offset: content_hash(data) for offset, data in expected.items()}


def test_the_audit_needs_no_spark() -> None:
    """The image of the commands has none."""
    code = "import sys; import pipeline_local.audit.stream_stage; assert 'pyspark' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_closed_shard_ends(client: "KinesisClient", kinesis: Stubber) -> None:
    expect(kinesis, page(1), page(2, last=True))
    assert offsets(client) == ["1", "2"]


def test_it_does_not_run_after_what_arrives_meanwhile(client: "KinesisClient", kinesis: Stubber) -> None:
    later = START + timedelta(minutes=1)
    expect(kinesis, page(1), page(2, at=later))
    assert offsets(client) == ["1", "2"]


def test_throttling_is_waited_out(client: "KinesisClient", kinesis: Stubber) -> None:
    clock = ManualClock(START)
    expect(kinesis, "ProvisionedThroughputExceededException", page(1), page())
    assert offsets(client, clock) == ["1"]
    assert clock.monotonic() > 0


def test_a_shard_without_end_is_given_up(client: "KinesisClient", kinesis: Stubber) -> None:
    expect(kinesis, *[page(behind=1)] * 2000)
    with pytest.raises(StageUnreachableError, match="not read to its end within 300 s"):
        offsets(client)


def test_made_anew_while_it_is_read(client: "KinesisClient", kinesis: Stubber) -> None:
    expect(kinesis, page(1), page(), created=START + timedelta(seconds=1))
    with pytest.raises(StageUnreachableError, match="recreated"):
        offsets(client)


def test_shards_come_in_pages(client: "KinesisClient", kinesis: Stubber) -> None:
    for is_read in (True, False):
        kinesis.add_response("describe_stream_summary", summary())
        kinesis.add_response("list_shards", shards(token="more"), {"StreamName": "s"})
        kinesis.add_response("list_shards", shards(0), {"NextToken": "more"})
        if is_read:
            kinesis.add_response("get_shard_iterator", {"ShardIterator": "first"})
            kinesis.add_response("get_records", page(7, last=True))
    contents = KinesisStage(client, ManualClock(START)).read(["s"])
    (log,) = contents.logs
    assert (log.log_id, log.horizon) == (f"{ARN}@{round(START.timestamp() * 1000)}", START - timedelta(hours=24))
    assert contents.records.to_pylist() == [
        {
            "name": "s", "log_id": log.log_id, "partition": "shardId-000000000000", "offset": "7",
            "content_hash": content_hash(b"7"),
        }
    ]  # fmt: skip
