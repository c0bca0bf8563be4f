"""The ``kinesis`` source: its requests on the fake and on LocalStack, and whole queries in Spark."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import kinesis_source
import pytest
from botocore.exceptions import ClientError
from kinesis_source.connect import connect
from kinesis_source.fakes import FakeKinesis
from kinesis_source.options import parse_options
from kinesis_source.records import Page
from kinesis_source.stream import Shard, Stream
from pipeline_local.lake import Lake
from pyspark.errors import AnalysisException, StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from servers import LocalStack
from spark_session import JVM, spark_session
from waiting import wait_until

HALF = str(1 << 127)
DEADLINE_S = 120
PER_STAGE = 100
names = (f"source-{number}" for number in range(1000))


class Kinesis:
    """A stream of its own on one of the two, with the adapter under test and a client to manage it."""

    def __init__(self, client: Any, connected: Callable[[str], Stream], shards: int = 1) -> None:
        self.name = next(names)
        self.client = client
        self.create(shards)
        self.stream = connected(self.name)

    def create(self, shards: int) -> None:
        self.client.create_stream(StreamName=self.name, ShardCount=shards)
        wait_until("active", lambda: self._status() == "ACTIVE" and len(self.shards(self.client)) == shards)

    def delete(self) -> None:
        self.client.delete_stream(StreamName=self.name)
        wait_until("gone", lambda: self._status() is None)

    def _status(self) -> str | None:
        try:
            summary = self.client.describe_stream_summary(StreamName=self.name)
        except ClientError:
            return None
        return str(summary["StreamDescriptionSummary"]["StreamStatus"])

    def shards(self, client: Any) -> list[Shard]:
        return sorted(Stream(client, {"StreamName": self.name}).list_shards(100), key=lambda shard: shard.shard_id)

    def put(self, *data: str, hash_key: str | None = None) -> list[str]:
        extra = {} if hash_key is None else {"ExplicitHashKey": hash_key}
        entries = [{"Data": value.encode(), "PartitionKey": value, **extra} for value in data]
        answer = self.client.put_records(StreamName=self.name, Records=entries)
        return [record["SequenceNumber"] for record in answer["Records"]]

    def split(self, shard_id: str, at: str = HALF) -> None:
        before = len(self.shards(self.client))
        self.client.split_shard(StreamName=self.name, ShardToSplit=shard_id, NewStartingHashKey=at)
        wait_until("split", lambda: self._status() == "ACTIVE" and len(self.shards(self.client)) == before + 2)

    def merge(self, one: str, other: str) -> None:
        before = len(self.shards(self.client))
        self.client.merge_shards(StreamName=self.name, ShardToMerge=one, AdjacentShardToMerge=other)
        wait_until("merged", lambda: self._status() == "ACTIVE" and len(self.shards(self.client)) == before + 1)


@pytest.fixture
def real(localstack: LocalStack) -> Callable[[], Kinesis]:
    client = boto3.client("kinesis", endpoint_url=localstack.endpoint_url, region_name="us-east-1")

    def connected(name: str) -> Stream:
        options = {"streamName": name, "endpoint": localstack.endpoint_url, "region": "us-east-1"}
        return connect(parse_options(options), connections=1)

    return lambda: Kinesis(client, connected)


@pytest.fixture(params=["fake", "LocalStack"])
def kinesis(request: pytest.FixtureRequest) -> Kinesis:
    if request.param == "fake":
        fake = FakeKinesis()
        return Kinesis(fake, lambda name: Stream(fake, {"StreamName": name}))
    make: Callable[[], Kinesis] = request.getfixturevalue("real")
    return make()


FIRST = "shardId-000000000000"


def texts(page: Page) -> list[str]:
    return [(record.data or b"").decode() for record in page.records]


def read_all(stream: Stream, iterator: str | None) -> list[str]:
    found = []
    while iterator is not None:
        page = stream.fetch(iterator, 2)
        found += texts(page)
        iterator = page.next_shard_iterator
    return found


def failure(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_positions(kinesis: Kinesis) -> None:
    numbers = kinesis.put("a", "ü", "c")
    stream = kinesis.stream
    page = stream.fetch(stream.from_oldest(FIRST), 2)
    assert texts(page) == ["a", "ü"]
    assert [(record.sequence_number, record.partition_key) for record in page.records] == [
        (numbers[0], "a"),
        (numbers[1], "ü"),
    ]
    assert abs(page.records[0].arrival_ms - time.time() * 1000) < 60_000
    assert page.next_shard_iterator is not None
    assert texts(stream.fetch(page.next_shard_iterator, 10)) == ["c"]
    assert texts(stream.fetch(stream.from_sequence_number(FIRST, numbers[1]), 10)) == ["ü", "c"]
    assert texts(stream.fetch(stream.from_time(FIRST, page.records[0].arrival_ms), 10)) == ["a", "ü", "c"]
    latest = stream.from_latest(FIRST)
    assert texts(stream.fetch(latest, 10)) == []
    kinesis.put("d")
    assert texts(stream.fetch(latest, 10)) == ["d"]


def test_the_end_of_an_open_shard(kinesis: Kinesis) -> None:
    page = kinesis.stream.fetch(kinesis.stream.from_oldest(FIRST), 10)
    assert (page.records, page.millis_behind_latest) == ([], 0)
    assert page.next_shard_iterator is not None


def test_split_and_merge(kinesis: Kinesis) -> None:
    kinesis.put("a", "b", "c")
    kinesis.split(FIRST)
    kinesis.put("low", hash_key="0")
    kinesis.put("high", hash_key=HALF)
    stream = kinesis.stream
    parent, low, high = kinesis.shards(kinesis.client)
    assert (parent.closed, low.closed, high.closed) == (True, False, False)
    assert low.parents == high.parents == (FIRST,)
    assert read_all(stream, stream.from_oldest(FIRST)) == ["a", "b", "c"]
    assert texts(stream.fetch(stream.from_oldest(low.shard_id), 10)) == ["low"]
    assert texts(stream.fetch(stream.from_oldest(high.shard_id), 10)) == ["high"]
    kinesis.merge(low.shard_id, high.shard_id)
    *_, merged = kinesis.shards(kinesis.client)
    assert set(merged.parents) == {low.shard_id, high.shard_id}
    assert read_all(stream, stream.from_oldest(low.shard_id)) == ["low"]


def test_a_partition_key_that_is_no_text_stops_nothing(kinesis: Kinesis) -> None:
    keys = ["a", "Nice post \ud83d", "\x1a", "ü"]
    for key in keys:
        kinesis.client.put_record(StreamName=kinesis.name, Data=b"x", PartitionKey=key)
    page = kinesis.stream.fetch(kinesis.stream.from_oldest(FIRST), 10)
    shown = ["a", "\x1a" + r'{"PartitionKey":"Nice post \ud83d"}', "\x1a" + r'{"PartitionKey":"\u001a"}', "ü"]
    assert [record.partition_key for record in page.records] == shown
    assert [record.data for record in page.records] == [b"x"] * 4


def test_retention(kinesis: Kinesis) -> None:
    def hours() -> float:
        return kinesis.stream.describe().retention_ms / 3_600_000

    def raise_to(to: int) -> None:
        kinesis.client.increase_stream_retention_period(StreamName=kinesis.name, RetentionPeriodHours=to)

    def lower_to(to: int) -> None:
        kinesis.client.decrease_stream_retention_period(StreamName=kinesis.name, RetentionPeriodHours=to)

    raise_to(48)
    wait_until("raised", lambda: hours() == 48)
    assert failure(lambda: raise_to(24)) == failure(lambda: lower_to(72)) == "InvalidArgumentException"
    out_of_range = {failure(lambda: raise_to(8761)), failure(lambda: lower_to(23))}
    assert out_of_range <= {"InvalidArgumentException", "ValidationException"}
    lower_to(24)
    wait_until("lowered", lambda: hours() == 24)


def test_a_listing_in_pages(kinesis: Kinesis) -> None:
    kinesis.split(FIRST)
    shards = kinesis.stream.list_shards(1)
    assert sorted(shard.shard_id for shard in shards) == [shard.shard_id for shard in kinesis.shards(kinesis.client)]
    assert not kinesis.stream.lacks(FIRST)
    assert kinesis.stream.lacks("shardId-000000000007")


def test_what_is_refused(kinesis: Kinesis) -> None:
    [number] = kinesis.put("a")
    stream = kinesis.stream
    assert failure(lambda: stream.from_sequence_number("shardId-000000000007", number)) == "ResourceNotFoundException"
    assert failure(lambda: stream.from_time(FIRST, round(time.time() * 1000) + 60_000)) == "InvalidArgumentException"


def test_a_stream_made_anew_is_another(kinesis: Kinesis) -> None:
    [number] = kinesis.put("a")
    before, [shard] = kinesis.stream.describe(), kinesis.shards(kinesis.client)
    assert before.retention_ms == 24 * 3_600_000
    kinesis.delete()
    assert failure(kinesis.stream.describe) == "ResourceNotFoundException"
    assert failure(lambda: kinesis.stream.list_shards(10)) == "ResourceNotFoundException"
    assert failure(lambda: kinesis.stream.from_oldest(FIRST)) == "ResourceNotFoundException"
    time.sleep(1.1)  # the server keeps whole seconds
    kinesis.create(1)
    after, [other] = kinesis.stream.describe(), kinesis.shards(kinesis.client)
    assert before.id.arn == after.id.arn
    assert before.id.created_ms < after.id.created_ms
    assert shard.starting != other.starting
    assert failure(lambda: kinesis.stream.from_sequence_number(FIRST, number)) == "InvalidArgumentException"


QUERY = """
import sys, time
from pathlib import Path
import kinesis_source
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session
name, endpoint, folder, jars, archive, trigger = sys.argv[1:]
spark = build_session(SessionConfig("kills", JvmConfig(Path(jars), Path(archive), short_lived=True)))
kinesis_source.register(spark)
rows = spark.readStream.format("kinesis").options(
    streamName=name, endpoint=endpoint, region="us-east-1", initialPosition="trim_horizon",
    spoolDir=folder + "/spool", maxRecordsPerTrigger="60", maxRecordsPerFetch="25",
).load()
writer = rows.writeStream.format("delta").option("checkpointLocation", folder + "/checkpoint")
trigger = {"availableNow": True} if trigger == "now" else {"processingTime": "0 seconds"}
query = writer.trigger(**trigger).start(folder + "/table")
seen = None
while query.isActive:
    progress = query.lastProgress
    if progress is not None and progress.batchId != seen:
        seen = progress.batchId
        print(seen, progress.numInputRows, flush=True)
    time.sleep(0.02)
query.awaitTermination()
"""


class QueryProcess:
    """A query in a process group of its own."""

    def __init__(self, kinesis: Kinesis, endpoint: str, folder: Path, trigger: str) -> None:
        arguments = (kinesis.name, endpoint, str(folder), str(JVM.jars_dir), str(JVM.archive_dir), trigger)
        self._log = (folder / "log").open("ab")
        self._child = subprocess.Popen(
            [sys.executable, "-c", QUERY, *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env=os.environ | {"TZ": "UTC"},
        )

    def wait_for_batch_with_rows(self) -> None:
        assert self._child.stdout is not None
        watchdog = threading.Timer(DEADLINE_S, self.kill)
        watchdog.start()
        for line in self._child.stdout:
            if int(line.split()[1]) > 0:
                watchdog.cancel()
                return
        watchdog.cancel()
        raise AssertionError(f"the query ended: {Path(self._log.name).read_text()[-3000:]}")

    def wait(self) -> None:
        try:
            assert self._child.wait(DEADLINE_S) == 0, Path(self._log.name).read_text()[-3000:]
        finally:
            self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(10)
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._log.close()


@pytest.mark.spark
def test_kill_9_of_the_whole_group_loses_and_doubles_nothing(
    real: Callable[[], Kinesis], localstack: LocalStack, tmp_path: Path
) -> None:
    kinesis = real()
    kinesis.split(FIRST)
    chance = random.Random(7)
    put: list[str] = []
    goal, done = [PER_STAGE], threading.Event()

    def produce() -> None:
        while not done.wait(0.02):
            if len(put) < goal[0]:
                put.extend(kinesis.put(*(f"{len(put)}-{number}" for number in range(5))))

    def split() -> None:
        kinesis.split("shardId-000000000001", str(1 << 126))

    def merge() -> None:
        kinesis.merge("shardId-000000000004", "shardId-000000000002")

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for change in (split, merge, None):
            query = QueryProcess(kinesis, localstack.endpoint_url, tmp_path, "always")
            try:
                query.wait_for_batch_with_rows()
                if change is not None:
                    change()
                goal[0] += PER_STAGE
                query.wait_for_batch_with_rows()
                time.sleep(chance.uniform(0, 0.4))
            finally:
                query.kill()
        wait_until("all put", lambda: len(put) >= goal[0], DEADLINE_S)
    finally:
        done.set()
        producer.join()
    QueryProcess(kinesis, localstack.endpoint_url, tmp_path, "now").wait()
    rows = Lake(tmp_path).rows("table")
    read = Counter(row["sequenceNumber"] for row in rows)
    assert len(put) >= 4 * PER_STAGE
    assert [number for number, times in read.items() if times > 1] == []
    assert set(read) == set(put)
    assert len(list((tmp_path / "spool").glob("*.lock"))) <= 1, "spools of the dead were not swept"


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with spark_session(cores=2) as session:
        assert kinesis_source.register(session)
        yield session


def reader(spark: SparkSession, kinesis: Kinesis, localstack: LocalStack, **options: str) -> Any:
    given = {"streamName": kinesis.name, "endpoint": localstack.endpoint_url, "region": "us-east-1"}
    # The session is older than the credentials that each test sets.
    given |= {"awsAccessKey": "test", "awsSecretKey": "test"} | options
    return spark.readStream.format("kinesis").options(**given)


def environment(rows: DataFrame) -> Any:
    """The map of variables that a query of these rows hands to its Python processes, in the JVM."""
    table: Any = rows._jdf.queryExecution().analyzed().table()
    field = table.getClass().getDeclaredField("ds")
    field.setAccessible(True)
    return field.get(table).source().dataSourceCls().envVars()


@pytest.mark.spark
def test_two_queries_share_nothing_that_spark_writes_to(spark: SparkSession) -> None:
    """With a shared map, some one in twenty starts of the three queries of the stream reader failed for good."""
    options = {"streamName": "x", "region": "us-east-1"}
    one, other = (environment(kinesis_source.read_stream(spark, options)) for _ in range(2))
    one.put("WRITTEN", "1")
    assert (one.get("WRITTEN"), other.get("WRITTEN")) == ("1", None)


@pytest.mark.spark
def test_available_now_into_memory(
    spark: SparkSession, real: Callable[[], Kinesis], localstack: LocalStack, tmp_path: Path
) -> None:
    kinesis = real()
    kinesis.split(FIRST)
    numbers = kinesis.put(*(str(number) for number in range(300)))
    rows = reader(spark, kinesis, localstack, initialPosition="earliest", maxRecordsPerTrigger="200").load()
    writer = rows.writeStream.format("memory").option("checkpointLocation", str(tmp_path / "checkpoint"))
    query = writer.queryName("once").trigger(availableNow=True).start()
    assert query.awaitTermination(DEADLINE_S)
    found = spark.table("once").collect()
    assert sorted(row["sequenceNumber"] for row in found) == sorted(numbers)
    assert sorted(int(bytes(row["data"])) for row in found) == list(range(300))
    assert {row["stream"] for row in found} == {kinesis.name}
    assert {row["shardId"] for row in found} == {"shardId-000000000001", "shardId-000000000002"}
    assert all(row["partitionKey"] == bytes(row["data"]).decode() for row in found)
    assert max(progress["numInputRows"] for progress in query.recentProgress) == 200
    assert spark.table("once").schema.simpleString() == (
        "struct<partitionKey:string,data:binary,stream:string,shardId:string,sequenceNumber:string,"
        "approximateArrivalTimestamp:timestamp>"
    )


@pytest.mark.spark
def test_latest_then_a_stream_made_anew(
    spark: SparkSession, real: Callable[[], Kinesis], localstack: LocalStack, tmp_path: Path
) -> None:
    kinesis = real()
    kinesis.put("before")
    checkpoint = str(tmp_path / "checkpoint")

    def start() -> Any:
        rows = reader(spark, kinesis, localstack, retryDeadline="30s").load()
        return rows.writeStream.foreachBatch(keep).option("checkpointLocation", checkpoint).start()

    seen: list[str] = []

    def keep(rows: Any, _: int) -> None:
        seen.extend(bytes(row["data"]).decode() for row in rows.collect())

    query = start()
    wait_until("the first batch", lambda: query.lastProgress is not None, DEADLINE_S)
    kinesis.put("a", "b")
    wait_until("two rows", lambda: len(seen) >= 2)
    wait_until("the lag is reported", lambda: "behind_ms" in str(query.lastProgress["sources"][0]["latestOffset"]))
    kinesis.delete()
    time.sleep(1.1)  # the server keeps whole seconds
    kinesis.create(1)
    kinesis.put("c")
    with pytest.raises(StreamingQueryException, match="StreamReplacedError"):
        query.awaitTermination(DEADLINE_S)
    with pytest.raises(StreamingQueryException, match=r"StreamReplacedError(.|\n)*go on with a new checkpoint"):
        start().awaitTermination(DEADLINE_S)
    assert sorted(seen) == ["a", "b"]


@pytest.mark.spark
def test_a_wrong_option_is_named(spark: SparkSession, real: Callable[[], Kinesis], localstack: LocalStack) -> None:
    with pytest.raises(AnalysisException, match="option 'fetchBufferSize' of the kinesis source: 'much' is not a size"):
        reader(spark, real(), localstack, fetchBufferSize="much").load()
