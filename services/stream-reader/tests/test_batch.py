"""What a batch writes: good rows, quarantine, what is handed over."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from batch_bench import ARRIVED, GEO, NAMES, PIN, BatchBench, as_bytes
from kinesis_source.envelope import UNREADABLE, marked, shown_key
from pipeline_contracts.content import content_hash
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Kind
from pipeline_transforms.versions import current_rows
from pyspark.sql import SparkSession
from stream_reader.lake.tables import rows_schema
from stream_reader.popularity.posts_database import FACTS
from stream_reader.queries.fake_streams import log_id

pytestmark = pytest.mark.spark


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


@pytest.fixture
def bench(spark: SparkSession, tmp_path: Path) -> BatchBench:
    return BatchBench(spark, tmp_path)


def places(rows: list[dict[str, Any]]) -> list[str]:
    return sorted((row["offset"] for row in rows), key=int)


def test_a_good_record_is_a_row_with_its_coordinate_and_text(bench: BatchBench) -> None:
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


def test_what_cannot_be_read_is_quarantined_with_its_bytes(bench: BatchBench) -> None:
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


def test_a_record_whose_envelope_cannot_be_decoded_is_quarantined(bench: BatchBench) -> None:
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


def test_the_records_of_an_aggregate_are_rows_of_their_own(bench: BatchBench) -> None:
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


def test_of_an_aggregate_s_versions_the_last_one_counts(bench: BatchBench) -> None:
    versions = tuple({**PIN, "title": str(number)} for number in range(12))
    bench.writer(bench.frame(versions), 0)
    rows = bench.spark.createDataFrame(bench.good(), rows_schema("pin")).drop("value")
    (row,) = current_rows(rows).collect()
    assert (row["title"], row["offset"]) == ("11", "1.11")


def test_an_empty_batch_writes_nothing(bench: BatchBench) -> None:
    bench.writer(bench.frame(), 0)
    assert bench.tables.appends == []
    assert bench.writer.progress.batch_id == 0


def test_a_batch_of_bad_records_alone_does_not_touch_the_table(bench: BatchBench) -> None:
    bench.writer(bench.frame(b"x"), 0)
    assert bench.tables.appends == [STREAM_QUARANTINE]
    assert bench.arrivals.waiting_since() is None


def test_a_flood_of_bad_records_stops_no_batch_and_is_told_once(
    bench: BatchBench, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        bench.writer(bench.frame(*[b"x"] * 6, {**PIN, "index": number}), number)
    assert (len(bench.bad()), [row["ind"] for row in bench.good()]) == (24, [0, 1, 2, 3])
    assert (bench.writer.rejects.problem() or "").startswith("12 of the last 14 records were rejected")
    assert [record.getMessage() for record in caplog.records].count("many records are rejected") == 1
    bench.writer(bench.frame(*[{**PIN, "index": number} for number in range(10)]), 4)
    assert bench.writer.rejects.problem() is None


def test_the_tables_rows_give_current_rows(bench: BatchBench) -> None:
    other = {**PIN, "title": "other"}
    bench.writer(bench.frame(PIN, other, PIN), 0)
    rows = bench.spark.createDataFrame(bench.good(), rows_schema("pin")).drop("value")
    (row,) = current_rows(rows).collect()
    assert (row["title"], row["offset"], len(row["superseded"])) == ("other", "2", 1)


@pytest.mark.parametrize("kind", ["geo", "user"])
def test_the_other_kinds(spark: SparkSession, tmp_path: Path, kind: Kind) -> None:
    bench = BatchBench(spark, tmp_path, kind)
    user = {"ind": 7, "first_name": "A", "last_name": "B", "age": 30, "date_joined": "2020-01-02 03:04:05"}
    bench.writer(bench.frame(GEO, user), 0)
    assert [row["ind"] for row in bench.good()] == [7]
    assert [row["reason"] for row in bench.bad()] == ["wrong_kind"]
    ((handed_over, rows),) = bench.arrivals.take().tables
    assert (handed_over, rows["ind"].to_pylist()) == (kind, [7])
    assert rows[FACTS[kind][0]].to_pylist() == [{"geo": "Chad", "user": 30}[kind]]
