"""The pages and resources of records and quarantine: what they show, to whom, and what they refuse."""

import html
import shutil
from pathlib import Path
from typing import Any

import pytest
from dashboard.api import quarantine as quarantine_api
from dashboard.api import records as records_api
from dashboard.api.records import Ways
from dashboard.lake.reader import LakeReader
from dashboard.pages import records
from dashboard.privacy import HOW_TO_SHOW, BySetting
from dashboard.records.quarantine import Quarantine
from dashboard.records.stream_way import StreamWay
from dashboard_frame import FrameOfTests
from dashboard_records import ARN, LOG, SHARDS, STREAM, TOPIC, RecordsLake, second
from flask.testing import FlaskClient
from pipeline_contracts.names import Names

EVIL = "<script>alert(1)</script>\u202ecod"
PERSONAL = b'{"first_name":"Secret","x":"<script>\x80\xff"}'


def client(frame: FrameOfTests, folder: Path, *, shown: bool = False) -> FlaskClient:
    reader, privacy = LakeReader(str(folder)), BySetting(shown)
    ways, quarantine = Ways(reader, Names(), frame.clock), Quarantine(reader)
    pages = [
        records.blueprint(ways, quarantine, privacy, frame.clock),
        records_api.blueprint(ways, privacy),
        quarantine_api.blueprint(quarantine, privacy, frame.clock),
    ]
    return frame.app(pages, shows_personal=shown).test_client()


@pytest.fixture
def lake(tmp_path: Path) -> RecordsLake:
    """Post 1: A, B, A again; a refused record; a dead letter; an unreadable line; two logs with one offset."""
    made = RecordsLake(tmp_path)
    hashes = {0: "1A", 1: "1B", 2: "1A", 3: "bad"}
    made.events(*[{"offset": at, "content_hash": h, "key": "1", "value": EVIL} for at, h in hashes.items()])
    made.events({"offset": 0, "log_id": "older", "content_hash": "1A", "key": "1", "recorded_at": second(-9)})
    made.objects({"object_key": "o", "first_offset": 0, "next_offset": 7, "ranges": [{"first": 0, "next": 4}]})
    made.quarantine(
        {"offset": 3, "raw": PERSONAL},
        {"offset": 4, "source": "dead_letter", "raw": b"letter", "reason": "not_json"},
        {
            "line": 6,
            "offset": 5,
            "source": "object",
            "raw": EVIL.encode(),
            "raw_bytes": 70_000,
            "raw_sha256": "ab" * 32,
        },
    )
    older = {"ind": 1, "country": EVIL, "log_id": "older", "offset": 0, "content_hash": "1A", "recorded_at": second(-9)}
    made.silver([{"ind": 1, "country": EVIL, "offset": 1, "content_hash": "1B", "superseded": [older]}])
    made.run(0)
    made.stream({"ind": 1, "country": EVIL, "offset": "5", "recorded_at": second(1), "content_hash": "s"})
    made.pins({"ind": 1, "poster_name": EVIL, "offset": "4"})
    made.profiles({"poster_name": EVIL})
    made.stream_quarantine({"offset": "6", "raw": b"\x00\x01"})
    return made


def told(found: FlaskClient, query: str) -> dict[str, Any]:
    answer = found.get(f"/api/v1/records{'/at' if 'name=' in query else ''}?{query}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.get_json()
    return document


def test_a_posts_records_on_both_paths(frame: FrameOfTests, lake: RecordsLake) -> None:
    found = told(client(frame, lake.folder), "kind=geo&key=1")
    batch = [(one["log_id"], one["offset"], one["fate"]) for one in found["batch"]["records"]]
    assert batch == [
        (LOG, "3", "quarantined"), (LOG, "2", "repeated"), (LOG, "1", "current"), (LOG, "0", "repeated"),
        ("older", "0", "superseded"),
    ]  # fmt: skip
    (record,) = found["stream"]["records"]
    assert (record["fate"], record["fields"]["country"]) == ("current", EVIL)
    assert [(step["title"], step["state"]) for step in record["steps"]] == [
        ("Kinesis", "done"), ("Stream table", "done"), ("Versions", "done"), ("Popularity", "done"),
    ]  # fmt: skip


def test_a_way_names_each_stage_and_the_record_that_counts_instead(frame: FrameOfTests, lake: RecordsLake) -> None:
    found = client(frame, lake.folder)
    (one,) = told(found, f"name={TOPIC}&partition=0&offset=0&log_id=older")["batch"]["records"]
    steps = {step["title"]: step for step in one["steps"]}
    assert list(steps) == ["Kafka", "S3", "Bronze", "Silver", "Answers"]
    assert steps["S3"]["text"].endswith("object o, which covers the offsets 0 to 6")
    assert steps["Silver"]["other"] == {"path": "batch", "name": TOPIC, "log_id": LOG, "partition": "0", "offset": "1"}
    assert "do not count it" in steps["Answers"]["text"]
    (current,) = told(found, f"name={TOPIC}&partition=0&offset=1")["batch"]["records"]
    assert "count it" in current["steps"][-1]["text"]
    assert current["steps"][-1]["at"] == "2026-01-01T00:05:00.000Z"
    lake.silver([{"ind": 1, "country": "x", "offset": 1, "content_hash": "1B"}], 2)
    assert "count it" in told(found, f"name={TOPIC}&partition=0&offset=1")["batch"]["records"][0]["steps"][-1]["text"]
    lake.silver([{"ind": 1, "country": "x", "offset": 2, "content_hash": "1A"}], 3)
    (next_one,) = told(found, f"name={TOPIC}&partition=0&offset=2")["batch"]["records"]
    assert next_one["fate"] == "current"
    assert next_one["steps"][-1]["state"] == "waiting"


@pytest.mark.parametrize(
    ("offset", "fates"),
    [
        (0, ["repeated", "superseded"]),
        (4, ["dead_lettered"]),
        (5, ["missing"]),
        (6, ["unclear"]),
        (9, ["not_there_yet"]),
    ],
)
def test_a_coordinate_has_a_record_of_each_log(
    frame: FrameOfTests, lake: RecordsLake, offset: int, fates: list[str]
) -> None:
    found = told(client(frame, lake.folder), f"name={TOPIC}&partition=0&offset={offset}")
    assert [one["fate"] for one in found["batch"]["records"]] == fates


def test_a_coordinate_of_a_stream(frame: FrameOfTests, lake: RecordsLake) -> None:
    found = client(frame, lake.folder)
    for number, fate in (("5", "current"), ("6", "quarantined"), ("6.1", "not_there_yet")):
        (one,) = told(found, f"name={STREAM}&partition={SHARDS[0]}&offset={number}")["stream"]["records"]
        assert (one["fate"], one["offset"]) == (fate, number)
    query = f"name={STREAM}&partition={SHARDS[0]}&offset=5&log_id={ARN}x"
    assert told(found, query)["stream"]["records"][0]["fate"] == "not_there_yet"


def test_raw_values_are_shown_to_those_who_may_see_them_alone(frame: FrameOfTests, lake: RecordsLake) -> None:
    seeing, others = client(frame, lake.folder, shown=True), client(frame, lake.folder)
    rows = seeing.get("/api/v1/quarantine").get_json()["rows"]
    hidden = others.get("/api/v1/quarantine").get_json()["rows"]
    assert [row["id"] for row in rows] == [row["id"] for row in hidden]
    assert {row["text"] for row in hidden} == {None}
    assert {"letter", EVIL} <= {row["text"] for row in rows}
    one = next(row for row in rows if row["offset"] == "3")
    answer = seeing.get(f"/api/v1/quarantine/raw?id={one['id']}")
    assert (answer.data, answer.mimetype) == (PERSONAL, "application/octet-stream")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Cache-Control"] == "no-store"
    refused = others.get(f"/api/v1/quarantine/raw?id={one['id']}")
    assert (refused.status_code, refused.get_json()["message"]) == (403, HOW_TO_SHOW)
    pages = ["/records?kind=geo&key=1", "/records/quarantine", f"/records/quarantine/row?id={one['id']}"]
    for path in pages:
        assert HOW_TO_SHOW in others.get(path).text, path
        assert "Secret" not in others.get(path).text
        assert HOW_TO_SHOW not in seeing.get(path).text
    page = html.unescape(seeing.get(pages[-1]).text)
    assert "Its bytes" in page
    assert "7b 22 66 69 72 73 74 5f" in page
    assert "not text in UTF-8" in page


def test_a_lake_that_is_wiped_between_two_questions_has_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordsLake(tmp_path).stream({"ind": 1, "offset": "1", "recorded_at": second(0), "content_hash": "h"})
    reader = LakeReader(str(tmp_path))
    ask = reader.rows

    def ask_and_wipe(*args: Any, **more: Any) -> list[dict[str, Any]]:
        found = ask(*args, **more)
        shutil.rmtree(tmp_path / "stream", ignore_errors=True)
        return found

    monkeypatch.setattr(reader, "rows", ask_and_wipe)
    assert StreamWay(reader, Names("pinterest")).by_key("geo", 1).records == ()


def test_personal_fields_are_redacted(frame: FrameOfTests, tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415  # for this table alone
    from deltalake import write_deltalake  # noqa: PLC0415

    row = {
        "ind": 1, "user_name": "Secret", "age": 30, "date_joined": second(0), "log_id": ARN, "partition": SHARDS[0],
        "offset": "1", "recorded_at": second(0), "content_hash": "Secret hash",
        "value": "Secret",
    }  # fmt: skip
    write_deltalake(tmp_path / "stream/pinterest_user_table", pa.Table.from_pylist([row]))
    (hidden,) = told(client(frame, tmp_path), "kind=user&key=1")["stream"]["records"]
    assert hidden["fields"] == {"ind": 1, "user_name": "redacted", "age": "redacted", "date_joined": "redacted"}
    assert (hidden["value"], hidden["content_hash"]) == (None, None)
    assert "Secret" not in client(frame, tmp_path).get("/records?kind=user&key=1").text
    (shown,) = told(client(frame, tmp_path, shown=True), "kind=user&key=1")["stream"]["records"]
    assert (shown["fields"]["user_name"], shown["value"]) == ("Secret", "Secret")
    assert shown["content_hash"] == "Secret hash"
    assert "Secret" in client(frame, tmp_path, shown=True).get("/records?kind=user&key=1").text


def test_foreign_text_is_inert_on_every_page(frame: FrameOfTests, lake: RecordsLake) -> None:
    seeing = client(frame, lake.folder, shown=True)
    paths = [
        "/records?kind=geo&key=1",
        "/records/quarantine",
        "/records",
        f"/records?name={STREAM}&partition=x'&offset=5",
    ]
    paths += [f"/records/quarantine/row?id={row['id']}" for row in seeing.get("/api/v1/quarantine").get_json()["rows"]]
    for path in paths:
        text = seeing.get(path).text
        assert "<script>alert" not in text, path
        assert "\u202e" not in text, path


def test_pages_of_quarantine_lead_on_and_keep_the_filter(frame: FrameOfTests, tmp_path: Path) -> None:
    RecordsLake(tmp_path).quarantine(*[{"offset": at, "reason": "bad_key"} for at in range(60)], {"offset": 99})
    found = client(frame, tmp_path)
    text = html.unescape(found.get("/records/quarantine?reason=bad_key").text)
    following = text[text.index("/records/quarantine?reason=bad_key&before=") :].split('"')[0]
    text = found.get(following).text
    assert text.count("/records/quarantine/row?") == 10
    assert "The newest" in text
    assert "/ 99" not in text


@pytest.mark.parametrize(
    "query",
    [
        "kind=geo", "key=1", "kind=cat&key=1", "kind=geo&key=-1", "kind=geo&key=2147483648", "kind=geo&key=1&name=x",
        f"name={TOPIC}", f"name={TOPIC}&partition=0",
        "name=x&partition=0&offset=0", f"name={TOPIC}&partition=a&offset=0",
        f"name={TOPIC}&partition=0&offset=1.1", f"name={TOPIC}&partition=0&offset={2**63}",
        f"name={STREAM}&partition=0&offset=a", f"name={STREAM}&partition=0&offset=1.",
        f"name={STREAM}&partition={'x' * 501}&offset=1",
    ],
)  # fmt: skip
def test_what_no_record_can_be_asked_by_is_refused(frame: FrameOfTests, tmp_path: Path, query: str) -> None:
    found = client(frame, tmp_path)
    for path in ("/records", "/api/v1/records", "/api/v1/records/at"):
        assert found.get(f"{path}?{query}").status_code in {400, 404}, path


def test_nothing_there_yet_and_tables_that_are_damaged(frame: FrameOfTests, lake: RecordsLake, tmp_path: Path) -> None:
    empty = client(frame, tmp_path / "none")
    assert empty.get("/api/v1/records").status_code == 400
    batch, stream = html.unescape(empty.get("/records?kind=pin&key=1").text).split("Stream path: pin 1")
    assert "No record of this post is in the lake. To fill it: <code>pipeline analyse</code>" in batch
    assert "No stream table has a record of this post" in stream
    assert "pipeline analyse" not in stream, "an analysis reads no stream"
    assert "Nothing is held in quarantine" in empty.get("/records").text
    for path in ("/records/quarantine/row", "/api/v1/quarantine/raw?id=", "/api/v1/quarantine?limit=201"):
        assert empty.get(path).status_code == 400
    for path in ("/records/quarantine/row?id=x", "/api/v1/quarantine?before=x", "/api/v1/quarantine/raw?id=x"):
        assert empty.get(path).status_code == 404
    found = client(frame, lake.folder, shown=True)
    (row, *_) = found.get("/api/v1/quarantine?path=batch").get_json()["rows"]
    for parquet in (lake.folder / "quarantine/batch").glob("*.parquet"):
        parquet.write_bytes(b"not parquet")
    for table in ("bronze/events", "silver/geo"):
        for parquet in (lake.folder / table).rglob("*.parquet"):
            parquet.write_bytes(b"not parquet")
    again = client(frame, lake.folder, shown=True)
    for path in (
        "/records",
        "/records/quarantine",
        f"/records/quarantine/row?id={row['id']}",
        "/records?kind=geo&key=1",
    ):
        answer = again.get(path)
        assert (answer.status_code, "is damaged" in answer.text) == (200, True), path
    assert again.get(f"/api/v1/quarantine/raw?id={row['id']}").status_code == 503
    parts = told(again, "kind=geo&key=1")
    assert (parts["batch"]["state"], parts["stream"]["state"]) == ("error", "fresh")
