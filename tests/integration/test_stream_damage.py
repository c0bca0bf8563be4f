"""The stream reader over damaged and lost state: each record is in the tables once, and nothing else stops."""

import json
import shutil
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kinesis_source.aggregation import SubRecord, aggregate
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Names
from pipeline_local.audit.report import Audit
from pipeline_local.audit.stream_fates import StreamStages, audit
from pipeline_local.audit.stream_stage import KinesisStage, StreamRecords
from pipeline_local.lake import Lake
from prometheus_client import CollectorRegistry
from pyspark.sql import SparkSession
from raw_objects import post
from servers import LocalStack
from service_kit.clock import SystemClock
from spark_session import spark_session
from stream_process import DEADLINE_S, Streams
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.failures import TableError
from stream_reader.lake.tables import create_all
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals
from stream_reader.queries.batch import Sink
from stream_reader.queries.checkpoints import checkpoint_folder
from stream_reader.queries.launch import Launcher
from stream_reader.queries.rejects import RejectWindow
from stream_reader.queries.streams import KinesisStreams
from stream_reader.settings import SMALL_BATCHES, Settings
from waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # the source's processes are the JVM's children
            patch.setenv(name, "test")
        with spark_session(cores=2, conf=SMALL_BATCHES) as session:
            yield session


class Bench:
    """The query of the pins alone, in this process, on real Kinesis and real Delta."""

    def __init__(self, spark: SparkSession, localstack: LocalStack, names: Names, folder: Path) -> None:
        self.names, self.lake = names, folder / "lake"
        settings = Settings(
            PIPELINE_ID=names.pipeline_id,
            LAKE_URI=self.lake.as_uri(),
            AWS_ENDPOINT_URL=localstack.endpoint_url,
            state_dir=folder / "state",
            trigger_interval_ms=50,
            poll_interval_ms=50,
        )  # type: ignore[call-arg]
        self.tables = DeltaTables(settings.lake_uri)
        create_all(self.tables, names)
        metrics = Metrics(CollectorRegistry())
        arrivals, latencies = Arrivals(1_000_000), Latencies(metrics.table_latency)
        sink = Sink(self.tables, names, arrivals, metrics, latencies, SystemClock())
        self.kinesis = KinesisStreams(localstack.endpoint_url, "us-east-1")
        rejects = {kind: RejectWindow(1_000, 0.5, sink.clock) for kind in KINDS}
        self.launch = Launcher(spark, settings, sink, self.kinesis, rejects)
        self.streams = Streams(localstack.endpoint_url, names)
        self.streams.create("pin")
        self.log_id = self.kinesis.describe(names.stream("pin")).log_id
        self.checkpoint = checkpoint_folder(settings.state_dir, "pin", self.log_id)
        self.sent: list[tuple[str, str]] = []

    def send(self, count: int) -> None:
        first = len(self.sent)
        rows = [(str(ind), json.dumps(post(ind)["pin"]).encode()) for ind in range(first, first + count)]
        self.sent += self.streams.put("pin", rows)

    def stored(self) -> list[tuple[str, str]]:
        rows = Lake(self.lake).rows(stream_table(self.names, "pin"))
        return [(row["partition"], row["offset"]) for row in rows]

    def run(self, until: Callable[[], bool]) -> None:
        """Start the query, and stop it in order once this holds."""
        writer, query = self.launch("pin", self.log_id)
        try:
            wait_until("the query", lambda: self._holds(query, until), DEADLINE_S)
        finally:
            writer.close(10)
            query.stop()

    def all_stored(self) -> bool:
        return set(self.sent) <= set(self.stored())

    @staticmethod
    def _holds(query: Any, until: Callable[[], bool]) -> bool:
        assert query.isActive, query.exception()
        return until()


@pytest.fixture
def bench(spark: SparkSession, localstack: LocalStack, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(spark, localstack, Names(f"damage-{uuid.uuid4().hex[:6]}"), tmp_path)
    yield made
    made.streams.delete("pin")  # an account has 100 shards at most


def newest(log: Path) -> Path:
    """The file of the last batch."""
    return max((file for file in log.iterdir() if file.name.isdigit()), key=lambda file: int(file.name))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "the newest offsets are empty": lambda folder: newest(folder / "offsets").write_bytes(b""),
    "the newest commit is halved": lambda folder: newest(folder / "commits").write_text('v1\n{"nextBatc'),
    "the query's id is missing": lambda folder: (folder / "metadata").unlink(),
    "the offsets are missing": lambda folder: shutil.rmtree(folder / "offsets"),
    "the newest commit is missing": lambda folder: newest(folder / "commits").unlink(),
}
HARMLESS = {"the newest commit is missing"}


def test_a_damaged_checkpoint_is_set_aside_and_each_record_is_stored_once(bench: Bench) -> None:
    """Spark's own files, as a power cut or a person leaves them."""
    aside = bench.checkpoint.with_name(f"{bench.checkpoint.name}.damaged")
    bench.send(3)
    bench.run(bench.all_stored)
    for what, damage in DAMAGE.items():
        shutil.rmtree(aside, ignore_errors=True)
        damage(bench.checkpoint)
        bench.send(2)
        bench.run(bench.all_stored)
        assert aside.exists() == (what not in HARMLESS), what
        assert sorted(bench.stored()) == sorted(bench.sent), what


def test_tables_lost_or_put_back_under_a_kept_checkpoint_are_filled_again(bench: Bench) -> None:
    table = bench.lake / stream_table(bench.names, "pin")
    copy = bench.lake.with_name("copy")
    bench.send(3)
    bench.run(bench.all_stored)
    shutil.copytree(table, copy)
    bench.send(3)
    bench.run(bench.all_stored)

    shutil.rmtree(table)
    shutil.copytree(copy, table)
    bench.run(bench.all_stored)
    assert sorted(bench.stored()) == sorted(bench.sent)

    shutil.rmtree(bench.lake)
    bench.run(bench.all_stored)
    assert sorted(bench.stored()) == sorted(bench.sent)

    # A commit that a power cut emptied: Delta takes it for one of nothing, and the rows are gone.
    newest_commit = max((table / "_delta_log").glob("*.json"))
    newest_commit.write_bytes(b"")
    assert not bench.all_stored()
    bench.run(bench.all_stored)
    assert sorted(bench.stored()) == sorted(bench.sent)


def test_a_table_that_is_lost_while_the_query_runs_is_noticed(bench: Bench) -> None:
    bench.send(3)
    writer, query = bench.launch("pin", bench.log_id)
    try:
        wait_until("the rows", bench.all_stored, 60)
        assert writer.lost() is None
        shutil.rmtree(bench.lake / stream_table(bench.names, "pin"))
        assert "was lost or recreated" in (writer.lost() or "")
    finally:
        writer.close(10)
        query.stop()


def test_a_key_that_is_no_text_and_an_aggregate_stop_nothing(bench: Bench, localstack: LocalStack) -> None:
    """Half an emoji in a partition key; records that the Kinesis Producer Library put together."""
    stream, client = bench.names.stream("pin"), bench.streams.client
    rows = [json.dumps(post(ind)["pin"]).encode() for ind in range(1_000, 1_014)]
    bench.send(2)
    answer = client.put_record(StreamName=stream, Data=rows[0], PartitionKey="Nice post \ud83d")
    bad = (answer["ShardId"], answer["SequenceNumber"])
    aggregated = aggregate([SubRecord(b"k", row) for row in rows[1:13]])
    answer = client.put_record(StreamName=stream, Data=aggregated, PartitionKey="k")
    shard, number = answer["ShardId"], answer["SequenceNumber"]
    bench.sent += [(shard, number), *((shard, f"{number}.{nth}") for nth in range(1, 12))]
    bench.sent += bench.streams.put("pin", [("k", rows[13])])
    bench.run(bench.all_stored)
    assert sorted(bench.stored()) == sorted(bench.sent)

    # A new checkpoint reads all of it again.
    shutil.rmtree(bench.checkpoint)
    bench.sent += bench.streams.put("pin", [("k", json.dumps(post(2_000)["pin"]).encode())])
    bench.run(bench.all_stored)
    assert sorted(bench.stored()) == sorted(bench.sent)
    (row,) = Lake(bench.lake).rows(STREAM_QUARANTINE)
    assert (row["partition"], row["offset"], row["reason"]) == (*bad, "bad_envelope")
    assert (b64decode(row["raw_base64"]), row["value"]) == (rows[0], '{"PartitionKey":"Nice post \\ud83d"}')

    contents = KinesisStage.connect(localstack.endpoint_url, "us-east-1", "test", "test").read([stream])
    stages = StreamStages(contents, StreamRecords.empty_table())
    found = Audit(audit(bench.names, Lake(bench.lake), stages))
    assert found.ok
    assert sum(one.quarantined for one in found.rows) == 1
    assert sum(one.current for one in found.rows) == len(bench.sent)


def test_a_damaged_quarantine_is_recreated_from_the_stream(bench: Bench) -> None:
    """All kinds share it, so none may wait for a person to mend it. What was in it stays beside it."""
    table = bench.lake / STREAM_QUARANTINE

    def all_there() -> bool:
        found = {(row["partition"], row["offset"]) for row in Lake(bench.lake).rows(STREAM_QUARANTINE)}
        return bench.all_stored() and found == set(bad)

    def damage_log() -> None:
        (table / "_delta_log" / f"{0:020}.json").write_bytes(b"\0" * 300)

    def cut_rows() -> None:
        for file in table.glob("*.parquet"):
            file.write_bytes(file.read_bytes()[:-100])
        shutil.rmtree(bench.checkpoint)  # so that the coordinates are read

    bench.send(1)
    bad = bench.streams.put("pin", [("k", b"x")])
    bench.run(all_there)
    for count, damage in enumerate((damage_log, cut_rows), start=1):
        damage()
        bench.send(1)
        bench.run(all_there)
        assert len(list(table.parent.glob("stream.damaged-*"))) == count
    assert sorted(bench.stored()) == sorted(bench.sent)
    assert len(Lake(bench.lake).rows(STREAM_QUARANTINE)) == 1

    writer, query = bench.launch("pin", bench.log_id)
    try:
        assert writer.lost() is None
        damage_log()
        assert (writer.lost() or "").startswith(f"the table {STREAM_QUARANTINE} cannot be used")
    finally:
        writer.close(10)
        query.stop()


@pytest.mark.parametrize("content", [b"", b'{"add":', b"\0" * 300])
def test_a_damaged_log_of_delta_is_named_with_the_remedy(bench: Bench, content: bytes) -> None:
    bench.send(1)
    bench.run(bench.all_stored)
    (bench.lake / stream_table(bench.names, "pin") / "_delta_log" / f"{0:020}.json").write_bytes(content)
    with pytest.raises(TableError, match=r"^the table stream/.*_pin_table cannot be used: .*move it away"):
        bench.launch("pin", bench.log_id)
