"""The batch function on static frames, over tables in memory."""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from kinesis_source.envelope import UNREADABLE, marked, shown_key
from pipeline_contracts.content import content_hash
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Kind, Names
from pipeline_transforms.versions import current_rows
from prometheus_client import CollectorRegistry
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy
from stream_reader.arrivals import Arrivals
from stream_reader.batch import BatchWriter, ClosingError, Sink, Source, StreamReplacedError
from stream_reader.beginning import begin
from stream_reader.decode import read_rows
from stream_reader.fake_streams import FakeStreams, log_id
from stream_reader.fakes import MemoryTables
from stream_reader.known import Held, Known
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.posts_database import FACTS
from stream_reader.rejects import RejectWindow
from stream_reader.streams import StreamError
from stream_reader.tables import QUARANTINE_SCHEMA, rows_schema

pytestmark = pytest.mark.spark

KINESIS = (
    "partitionKey string, data binary, stream string, shardId string, sequenceNumber string, "
    "approximateArrivalTimestamp timestamp"
)
NAMES = Names("t")
ARRIVED = datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC)
PIN = {
    "index": 7,
    "unique_id": "u",
    "title": "Ünïcode 🙂 ",
    "poster_name": "a/b",
    "follower_count": "5k",
    "category": "art",
}
GEO = {"ind": 7, "timestamp": "2020-01-02 03:04:05", "latitude": 1.5, "longitude": 2.5, "country": "Chad"}


def as_bytes(value: Any) -> bytes | None:
    """Bytes as they are, everything else as its JSON."""
    return value if value is None or isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()


def arrow_schema(spark: SparkSession, schema: StructType) -> pa.Schema:
    """A table's columns, as Spark gives them to Python."""
    return spark.createDataFrame([], schema).toArrow().schema


class Bench:
    """One stream's batches."""

    def __init__(self, spark: SparkSession, folder: Path, kind: Kind = "pin") -> None:
        self.spark, self.kind, self.folder = spark, kind, folder
        table = stream_table(NAMES, kind)
        schemas = {table: rows_schema(kind), STREAM_QUARANTINE: QUARANTINE_SCHEMA}
        self.tables = MemoryTables({name: arrow_schema(spark, schema) for name, schema in schemas.items()})
        self.stream = NAMES.stream(kind)
        self.streams = FakeStreams(**{self.stream: 1.0})
        self.arrivals = Arrivals(1_000_000)
        self.metrics = Metrics(CollectorRegistry())
        self.latencies = Latencies(self.metrics.table_latency)
        self.number = 0
        self.clock = ManualClock()
        self.writer = self.made()

    def made(self, query_id: str = "q", at: Callable[[str], None] = lambda _stage: None) -> BatchWriter:
        self.log_id = log_id(self.stream, self.streams.created[self.stream])
        source = Source(self.kind, self.stream, self.log_id)
        sink = Sink(self.tables, NAMES, self.arrivals, self.metrics, self.latencies, self.clock)
        begun = begin(self.tables, NAMES, self.kind, self.log_id, self.folder / query_id)
        retries = RetryPolicy(15, clock=self.clock)
        rejects = RejectWindow(10, 0.5, self.clock)
        writer = BatchWriter(source, sink, self.streams, begun, rejects, retries, at=at)
        writer.query_id.set_result(query_id)
        return writer

    def good(self) -> list[dict[str, Any]]:
        return self.tables.rows(stream_table(NAMES, self.kind))

    def bad(self) -> list[dict[str, Any]]:
        return self.tables.rows(STREAM_QUARANTINE)

    def frame(self, *values: Any, shard: str = "shardId-000000000000", keys: Sequence[str] = ()) -> DataFrame:
        """The next records of a shard; a tuple is an aggregate, taken apart as the source does."""
        rows = []
        for nth, value in enumerate(values):
            self.number += 1
            arrived = ARRIVED + timedelta(milliseconds=self.number)
            key = keys[nth] if keys else "key"
            for one in value if isinstance(value, tuple) else (value,):
                rows.append((key, as_bytes(one), self.stream, shard, str(self.number), arrived))
        return read_rows(self.spark.createDataFrame(rows, KINESIS), self.kind, self.log_id)


@pytest.fixture
def bench(spark: SparkSession, tmp_path: Path) -> Bench:
    return Bench(spark, tmp_path)


def places(rows: list[dict[str, Any]]) -> list[str]:
    return sorted((row["offset"] for row in rows), key=int)


def test_a_good_record_is_a_row_with_its_coordinate_and_text(bench: Bench) -> None:
    bench.writer(bench.frame(PIN), 0)
    (row,) = bench.good()
    text = json.dumps(PIN, ensure_ascii=False)
    assert row["recorded_at"] == ARRIVED + timedelta(milliseconds=1)
    told = ("ind", "title", "follower_count", "log_id", "partition", "offset", "value")
    assert {name: row[name] for name in told} == {
        "ind": 7,
        "title": "Ünïcode 🙂",
        "follower_count": 5_000,
        "log_id": log_id(bench.stream, 1.0),
        "partition": "shardId-000000000000",
        "offset": "1",
        "value": text,
    }
    assert row["content_hash"] == content_hash(text.encode())
    assert bench.tables.appends == [stream_table(NAMES, "pin")]
    assert bench.latencies.described() == {"count": 1, "p50_ms": 1_999.0, "p95_ms": 1_999.0}
    ((kind, rows),) = bench.arrivals.take().tables
    assert (kind, rows.num_rows) == ("pin", 1)
    assert {name: rows[name][0].as_py() for name in ("ind", "poster_name", "follower_count")} == {
        "ind": 7,
        "poster_name": "a/b",
        "follower_count": 5_000,
    }


BAD: list[tuple[Any, str]] = [
    (b"not json", "not_json"),
    (b"", "not_json"),
    (b"\xff\xfe", "not_json"),
    (base64.b64encode(json.dumps(PIN).encode()), "not_json"),
    (json.dumps(PIN).encode() + b" {}", "not_json"),
    (b"null", "not_object"),
    (None, "not_object"),
    (b"[1]", "not_object"),
    (GEO, "wrong_kind"),
    ({**PIN, "index": "x"}, "bad_key"),
    (b"x" * 1_000_000, "not_json"),
]


def test_what_cannot_be_read_is_quarantined_with_its_bytes(bench: Bench) -> None:
    large = {**PIN, "index": 8, "description": "d" * 900_000}
    bench.writer(bench.frame(*[value for value, _ in BAD], PIN, large), 0)
    found = {row["offset"]: row for row in bench.bad()}
    assert len(found) == len(BAD)
    for number, (value, reason) in enumerate(BAD, start=1):
        row = found[str(number)]
        data = as_bytes(value)
        assert (row["reason"], row["source"], row["stream"]) == (reason, "record", bench.stream)
        assert row["raw_base64"] == (None if data is None else base64.b64encode(data).decode())
        assert row["value"] == (None if data in {None, b"\xff\xfe"} else data.decode())
        assert (row["log_id"], row["partition"]) == (log_id(bench.stream, 1.0), "shardId-000000000000")
    assert sorted(row["ind"] for row in bench.good()) == [7, 8]
    assert (bench.writer.progress.seen, bench.writer.progress.rejected) == (len(BAD) + 2, len(BAD))


def test_a_record_whose_envelope_cannot_be_decoded_is_quarantined(bench: Bench) -> None:
    """Half an emoji in a partition key, as when a text is cut: the source marks it."""
    other = {**PIN, "index": 8}
    keys = [shown_key(key) for key in ("Nice post \ud83d", "fine 🙂", f"{UNREADABLE}fine, too", "k")]
    keys[3] = marked(PartitionKey="k", Data=7)
    bench.writer(bench.frame(PIN, PIN, other, None, keys=keys), 0)
    first, second = sorted(bench.bad(), key=lambda row: int(row["offset"]))
    text = json.dumps(PIN, ensure_ascii=False).encode()
    assert (first["offset"], first["reason"]) == ("1", "bad_envelope")
    assert first["value"] == '{"PartitionKey":"Nice post \\ud83d"}'
    assert base64.b64decode(first["raw_base64"]) == text
    assert (second["offset"], second["reason"], second["raw_base64"]) == ("4", "bad_envelope", None)
    assert second["value"] == '{"Data":7,"PartitionKey":"k"}'
    assert places(bench.good()) == ["2", "3"]
    assert bench.metrics.rejected.labels("pin", "bad_envelope")._value.get() == 2


def test_the_records_of_an_aggregate_are_rows_of_their_own(bench: Bench) -> None:
    """They share a sequence number; a new checkpoint leaves out each by its own place."""
    values = [tuple({**PIN, "index": number} for number in range(12)), {**PIN, "index": 12}, (b"x", PIN, b"y", PIN)]
    bench.writer(bench.frame(*values), 0)
    assert sorted(row["offset"] for row in bench.good()) == sorted(
        ["1", *(f"1.{number}" for number in range(1, 12)), "2", "3.1", "3.3"]
    )
    assert sorted(row["offset"] for row in bench.bad()) == ["3", "3.2"]
    bench.tables.make_anew(STREAM_QUARANTINE)
    bench.number = 0
    bench.made("another query")(bench.frame(*values, PIN), 0)
    assert len(bench.good()) == 16
    assert {row["offset"] for row in bench.good()} >= {"1.11", "3.3", "4"}
    assert sorted(row["offset"] for row in bench.bad()) == ["3", "3.2"]


def test_of_an_aggregate_s_versions_the_last_one_counts(bench: Bench) -> None:
    versions = tuple({**PIN, "title": str(number)} for number in range(12))
    bench.writer(bench.frame(versions), 0)
    rows = bench.spark.createDataFrame(bench.good(), rows_schema("pin")).drop("value")
    (row,) = current_rows(rows).collect()
    assert (row["title"], row["offset"]) == ("11", "1.11")


def test_an_empty_batch_writes_nothing(bench: Bench) -> None:
    bench.writer(bench.frame(), 0)
    assert bench.tables.appends == []
    assert bench.writer.progress.batch_id == 0


def test_a_batch_of_bad_records_alone_does_not_touch_the_table(bench: Bench) -> None:
    bench.writer(bench.frame(b"x"), 0)
    assert bench.tables.appends == [STREAM_QUARANTINE]
    assert bench.arrivals.waiting_since() is None


@pytest.mark.parametrize("stage", [STREAM_QUARANTINE, stream_table(NAMES, "pin")])
def test_cut_off_between_two_appends_and_repeated(bench: Bench, stage: str) -> None:
    class CutOffError(Exception):
        pass

    def cut(at: str) -> None:
        if at == stage:
            raise CutOffError

    frame = bench.frame(PIN, b"x")
    with pytest.raises(CutOffError):
        bench.made(at=cut)(frame, 3)
    bench.arrivals.take()
    repeated = bench.made()
    # Nothing is left out by its coordinate here: that is for another query's records.
    repeated.begun.known = Known(Held(bench.tables, (), bench.log_id), {})
    repeated(frame, 3)
    assert places(bench.good()) == ["1"]
    assert places(bench.bad()) == ["2"]
    assert [rows["ind"].to_pylist() for _, rows in bench.arrivals.take().tables] == [[7]]


def test_a_new_checkpoint_repeats_nothing_and_skips_nothing(bench: Bench) -> None:
    """Batch numbers begin at 0 again, and batches are cut in other places."""
    values = [{**PIN, "index": number} if number % 3 else b"bad" for number in range(12)]
    bench.writer(bench.frame(*values[:5]), 0)
    bench.writer(bench.frame(*values[5:9]), 1)
    bench.number = 0
    again = bench.made("another query")
    for number, part in enumerate((values[:2], values[2:7], values[7:11], values[11:])):
        again(bench.frame(*part), number)
    assert places(bench.good()) == [str(number + 1) for number in range(12) if number % 3]
    assert places(bench.bad()) == [str(number + 1) for number in range(12) if number % 3 == 0]


def test_a_part_of_a_batch_that_was_stored_is_left_out_alone(bench: Bench) -> None:
    """Killed after the good rows: the bad ones of the same batch have no fate yet."""
    frame = bench.frame(PIN, b"x", {**PIN, "index": 8})
    bench.writer(frame, 0)
    bench.tables.make_anew(STREAM_QUARANTINE)
    bench.made("another query")(frame, 0)
    assert places(bench.good()) == ["1", "3"]
    assert places(bench.bad()) == ["2"]


def test_nothing_is_written_of_a_stream_that_was_made_anew(bench: Bench) -> None:
    bench.streams.created[bench.stream] = 2.0
    with pytest.raises(StreamReplacedError):
        bench.writer(bench.frame(PIN), 0)
    assert bench.writer.progress.replaced
    assert bench.tables.appends == []
    bench.number = 0
    bench.made("q2")(bench.frame(PIN), 0)
    bench.streams.created[bench.stream] = 3.0
    bench.number = 0
    bench.made("q3")(bench.frame(PIN), 0)
    assert [row["log_id"] for row in bench.good()] == [log_id(bench.stream, made) for made in (2.0, 3.0)]


def test_nothing_is_written_while_nobody_knows_which_stream_it_is(bench: Bench) -> None:
    bench.streams.away = True
    with pytest.raises(StreamError):
        bench.writer(bench.frame(PIN), 0)
    assert bench.tables.appends == []


def test_the_stream_is_described_again_before_the_batch_fails(bench: Bench) -> None:
    """All who describe streams share 20 calls a second."""
    bench.streams.away_for = 3
    bench.writer(bench.frame(PIN), 0)
    assert places(bench.good()) == ["1"]
    bench.streams.away_for = 1_000
    began = bench.clock.monotonic()
    with pytest.raises(StreamError):
        bench.writer(bench.frame(PIN), 1)
    assert 14 <= bench.clock.monotonic() - began <= 16


def test_a_flood_of_bad_records_stops_no_batch_and_is_told_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(4):
        bench.writer(bench.frame(*[b"x"] * 6, {**PIN, "index": number}), number)
    assert (len(bench.bad()), [row["ind"] for row in bench.good()]) == (24, [0, 1, 2, 3])
    assert (bench.writer.rejects.problem() or "").startswith("12 of the last 14 records were rejected")
    assert [record.message for record in caplog.records].count("many records are rejected") == 1
    bench.writer(bench.frame(*[{**PIN, "index": number} for number in range(10)]), 4)
    assert bench.writer.rejects.problem() is None


def test_a_closed_writer_begins_no_batch(bench: Bench) -> None:
    assert bench.writer.close(1)
    with pytest.raises(ClosingError):
        bench.writer(bench.frame(PIN), 0)


def test_the_tables_rows_give_current_rows(bench: Bench) -> None:
    other = {**PIN, "title": "other"}
    bench.writer(bench.frame(PIN, other, PIN), 0)
    rows = bench.spark.createDataFrame(bench.good(), rows_schema("pin")).drop("value")
    (row,) = current_rows(rows).collect()
    assert (row["title"], row["offset"], len(row["superseded"])) == ("other", "2", 1)


@pytest.mark.parametrize("kind", ["geo", "user"])
def test_the_other_kinds(spark: SparkSession, tmp_path: Path, kind: Kind) -> None:
    bench = Bench(spark, tmp_path, kind)
    user = {"ind": 7, "first_name": "A", "last_name": "B", "age": 30, "date_joined": "2020-01-02 03:04:05"}
    bench.writer(bench.frame(GEO, user), 0)
    assert [row["ind"] for row in bench.good()] == [7]
    assert [row["reason"] for row in bench.bad()] == ["wrong_kind"]
    ((handed_over, rows),) = bench.arrivals.take().tables
    assert (handed_over, rows["ind"].to_pylist()) == (kind, [7])
    assert rows[FACTS[kind][0]].to_pylist() == [{"geo": "Chad", "user": 30}[kind]]
