import gzip
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from batch_analyser.objects.fetch import to_batches
from batch_analyser.objects.listing import Listed
from batch_analyser.objects.rows import ARROW_SCHEMA, DEAD_LETTER, OBJECT, REJECT, Fetched, Source, object_rows
from batch_analyser.objects.taken import Offsets

SOURCE = Source(None, "us-east-1", "raw", "t.dlq", 1)
MODIFIED = datetime(2026, 5, 1, tzinfo=UTC)
KEY = "topics/t.pin/partition=2/t.pin+2+00000000000000000005.jsonl.gz"


def fetched(body: bytes | None, key: str = KEY, metadata: Mapping[str, str] | None = None) -> Fetched:
    return Fetched(Listed(key, "listed", 1, MODIFIED), body, "etag", metadata or {})


def test_records_have_the_coordinate_of_metadata_and_name() -> None:
    body = gzip.compress(b'{"offset":6,"value":{"ind":1},"key":"1","timestamp":"2026-01-01T00:00:00Z"}')
    record, ledger = object_rows(
        fetched(body, metadata={"log-id": "L", "first-offset": "5", "next-offset": "9"}), SOURCE
    )
    assert (record["log_id"], record["topic"], record["partition"], record["offset"]) == ("L", "t.pin", 2, 6)
    assert record["recorded_at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert (ledger["offset"], ledger["next_offset"], ledger["records"], ledger["etag"]) == (5, 9, 1, "etag")
    assert ledger["ranges"] == [{"first": 6, "next": 7}]
    assert ledger["problem"] is None


@pytest.mark.parametrize(
    ("key", "log_id", "offset"),
    [
        ("topics/t.pin/partition=2/t.pin+2+0000000007.json", "topic:t.pin", 7),
        ("topics/t.pin/log=XY/partition=2/t.pin+2+7.json", "XY", 7),
        ("topics/t.pin/partition=2/part.json", "s3://raw/topics/t.pin/partition=2/part.json", 0),
        ("topics/t.pin/loose.json", "s3://raw/topics/t.pin/loose.json", 0),
    ],
)
def test_objects_of_other_writers(key: str, log_id: str, offset: int) -> None:
    record, ledger = object_rows(fetched(b'{"ind":1}', key), SOURCE)
    assert (record["log_id"], record["topic"], record["offset"]) == (log_id, "t.pin", offset)
    assert record["recorded_at"] == MODIFIED
    assert (ledger["offset"], ledger["next_offset"]) == (offset, offset + 1)


NAMES = ["partition=0/t.dlq+0+00000000000000000000.jsonl.gz", "year=2026/1.json", "x", "a/b/c+1"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b'{"ind":1}', b'{"offset":3,"value":"e30="}', b"\xff rubbish", b"[1,2]"])
def test_nothing_in_the_dead_letters_folder_is_an_event(name: str, body: bytes) -> None:
    """Whatever it is called: of that topic nothing is cleaned, so that its events would be on their way for ever."""
    *rows, ledger = object_rows(fetched(body, f"topics/{SOURCE.dead_letter_topic}/{name}"), SOURCE)
    assert {row["what"] for row in rows} <= {DEAD_LETTER, REJECT}
    assert rows
    assert (ledger["what"], ledger["topic"]) == (OBJECT, SOURCE.dead_letter_topic)


def test_an_object_that_is_gone_makes_no_ledger_row() -> None:
    (row,) = object_rows(fetched(None), SOURCE)
    assert row["what"] == "gone"


def test_what_cannot_be_read_stands_in_the_ledger() -> None:
    reject, ledger = object_rows(fetched(b"\xff rubbish"), SOURCE)
    assert (reject["what"], reject["value"], reject["raw_base64"]) == ("reject", None, "/yBydWJiaXNo")
    assert ledger["problem"] == "line 1: the line is not JSON"
    assert (ledger["records"], ledger["ranges"]) == (0, [])


def test_an_empty_object_of_our_sink_covers_its_range() -> None:
    (ledger,) = object_rows(fetched(gzip.compress(b""), metadata={"first-offset": "5", "next-offset": "8"}), SOURCE)
    assert (ledger["offset"], ledger["next_offset"], ledger["records"]) == (5, 8, 0)


def test_batches_have_the_schema_and_all_rows() -> None:
    lines = b"\n".join(b'{"offset":%d,"value":null}' % offset for offset in range(25_000))
    batches = list(to_batches(iter([fetched(lines)]), SOURCE))
    assert all(batch.schema.equals(ARROW_SCHEMA) for batch in batches)
    assert [batch.num_rows for batch in batches] == [10_000, 10_000, 5_001]


def offsets(*numbers: int) -> Offsets:
    taken = Offsets()
    for number in numbers:
        taken.add(number)
    return taken


def test_ranges_are_runs_of_offsets() -> None:
    assert offsets().ranges() == []
    assert offsets(5, 3, 4, 9).ranges() == [{"first": 3, "next": 6}, {"first": 9, "next": 10}]


def test_an_object_that_is_too_large_is_named_and_its_range_is_covered() -> None:
    huge = Fetched(
        Listed(KEY, "listed", 10**12, MODIFIED), None, "etag", {"first-offset": "5", "next-offset": "9"}, "too large"
    )
    reject, ledger = object_rows(huge, SOURCE)
    assert (reject["what"], reject["raw_bytes"], reject["raw_sha256"]) == ("reject", 10**12, None)
    assert (ledger["offset"], ledger["next_offset"], ledger["records"]) == (5, 9, 0)
    assert ledger["problem"] == "too large"


def test_of_many_problems_the_first_are_shown_and_all_are_counted() -> None:
    *rejects, ledger = object_rows(fetched(b'{"ind":1}\n' + b"x\n" * 5), SOURCE)
    assert [row["line"] for row in rejects if row["what"] == "reject"] == [2, 3, 4, 5, 6]
    assert ledger["problem"].endswith("line 4: the line is not JSON; and 2 more")


@pytest.mark.parametrize("key", [KEY, "topics/t.pin/partition=99999999999/t.pin+99999999999+5.jsonl",
                                 "topics/t.pin/partition=2/t.pin+2+99999999999999999999.jsonl"])  # fmt: skip
@pytest.mark.parametrize("offset", [5, 10**19])
def test_numbers_and_moments_out_of_range_stop_nothing(key: str, offset: int) -> None:
    """Whatever they are, the rest of the object and all other objects are taken."""
    line = b'{"offset":%d,"value":{"ind":1},"timestamp":"0001-01-01T00:00:00+10:00"}' % offset
    metadata = {"first-offset": "9" * 20, "next-offset": "9" * 5000}
    (batch,) = to_batches(iter([fetched(line, key, metadata)]), SOURCE)
    assert [row["what"] for row in batch.to_pylist()] == ["record", "object"]
