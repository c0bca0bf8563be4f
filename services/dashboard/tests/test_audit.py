"""Audits as the dashboard shows them: what they mean, tables, history, and the API."""

import re
from pathlib import Path

import msgspec
import pytest
from dashboard.audits import folder as folders
from dashboard.audits.folder import Audits
from dashboard.audits.shown import MOST_RANGES, MOST_ROWS
from dashboard.audits.verdict import RecordsInLake, since
from dashboard_audits import BATCH, HOSTILE, NOON, STREAM, World, row
from dashboard_frame import FrameOfTests
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.audits import AuditRow, Range, StoredAudit


@pytest.fixture
def world(tmp_path: Path, frame: FrameOfTests) -> World:
    return World(tmp_path, frame)


# --- what it means ---


@pytest.mark.parametrize(
    ("rows", "totals", "expected"),
    [
        ((BATCH, STREAM), {}, ("ready", "Nothing lost", "9 records, audited 10 min ago")),
        ((BATCH, STREAM), {"batch": 5, "stream": 4}, ("ready", "Nothing lost", "9 records, audited 10 min ago")),
        (
            (BATCH, STREAM),
            {"batch": 5, "stream": 10},
            ("slow", "Not audited since 12:00:00 UTC", "6 more records since; nothing was lost then"),
        ),
        (
            (row(BATCH, in_log=8, in_flight=3), STREAM),
            {"batch": 8, "stream": 4},
            ("idle", "Nothing lost so far", "3 records on the way when audited 10 min ago"),
        ),
        (
            (row(BATCH, in_log=8, missing=[[5, 7]]), row(STREAM, doubled=[["1", "1"]])),
            {"batch": 80},
            ("down", "3 missing, 1 range doubled", "audited 10 min ago"),
        ),
        (
            (row(BATCH, in_log=6, expired=1, lost=[[5, 5]], altered=[[0, 0], [3, 3]], cut=[[8, 9]]), STREAM),
            {},
            ("down", "1 expired, 2 ranges altered, 1 range cut off", "audited 10 min ago"),
        ),
        ((row(BATCH, current=4), STREAM), {}, ("down", "1 missing", "audited 10 min ago")),
        ((row(BATCH, current=6), STREAM), {}, ("down", "Not all accounted for", "audited 10 min ago")),
    ],
)
def test_the_verdict(
    world: World, rows: tuple[AuditRow, ...], totals: RecordsInLake, expected: tuple[str, str, str]
) -> None:
    world.store(*rows)
    world.totals = dict(totals)
    found = world.verdict()
    assert (found.level, found.text, found.note) == expected
    text = world.shows()
    assert found.text in text
    assert ("docs/troubleshooting.md, Audit" in text) == (found.level == "down")


def test_a_path_that_was_never_audited_is_said(world: World) -> None:
    world.store(BATCH, paths=("batch",))
    found = world.verdict()
    assert (found.level, found.text) == ("slow", "Nothing lost on the batch path")
    assert found.note == "audited 10 min ago; stream path never audited"


counts = st.integers(0, 20)


@settings(max_examples=60, deadline=None)
@given(counts, counts, counts, counts)
def test_since_is_never_more_than_what_came(done: int, waiting: int, came: int, ingested: int) -> None:
    """``waiting`` of the records were on the way; of those and of what came since, some are in the lake now."""
    ingested = min(ingested, waiting + came)
    newest = folders.Named(
        "x",
        StoredAudit(NOON, 1.0, 0, ["batch"], [row(BATCH, in_log=done + waiting, in_bronze=done, in_flight=waiting)]),
    )
    found = since(Audits({"batch": newest}, (), ()), {"batch": done + ingested, "stream": None})
    assert 0 <= found["batch"] <= came


# --- tables ---


def cells(text: str, table: int = 0) -> list[list[str]]:
    """The texts of a table's body and foot."""
    rows = re.findall(r"<tr.*?</tr>", re.findall(r"<table.*?</table>", text, re.DOTALL)[table], re.DOTALL)[1:]
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", found, re.DOTALL)]
        for found in rows
    ]


def test_a_row_a_partition_and_their_sum(world: World) -> None:
    other = row(
        BATCH, partition=1, in_log=1200, in_objects=1100, in_bronze=1000, current=990, quarantined=10, in_flight=200
    )
    world.store(BATCH, other, STREAM)
    world.look()
    text = world.shows()
    assert cells(text) == [
        ["pinterest.pin", "0", "5", "0", "0", "0", "5", "0", "0", "0", "0", "5", "0", "5", "5"],
        ["pinterest.pin", "1", "1,200", "0", "0", "200", "990", "0", "0", "10", "0", "5", "0", "1,100", "1,000"],
        ["all", "1,205", "0", "0", "200", "995", "0", "0", "10", "0", "10", "0", "1,105", "1,005"],
    ]
    assert cells(text, 1) == [
        ["streaming-pinterest-pin", "shardId-000000000000", "4", "0", "0", "0", "3", "0", "1", "0", "0", "0"],
        ["all", "4", "0", "0", "0", "3", "0", "1", "0", "0", "0"],
    ]


def test_what_is_wrong_is_named_with_its_place_and_meaning(world: World) -> None:
    world.store(row(BATCH, in_log=8, missing=[[5, 6], [7, 7]]), row(STREAM, altered=[["49", "51"]]))
    world.look()
    text = world.shows()
    assert cells(text) == [
        ["missing", "pinterest.pin, 0", "5 to 6", "2", "no stage has them"],
        ["missing", "pinterest.pin, 0", "7", "1", "no stage has them"],
    ]
    assert cells(text, 2)[0][:4] == ["altered", "streaming-pinterest-pin, shardId-000000000000", "49 to 51", "–"]
    assert '<span class="spoken">wrong: </span>pinterest.pin' in text


def test_tables_are_bounded_and_what_is_wrong_comes_first(world: World) -> None:
    ranges: list[Range] = [[offset, offset] for offset in range(0, 2 * (MOST_RANGES + 7), 2)]
    rows = [row(BATCH, partition=number) for number in range(MOST_ROWS + 50)]
    rows[-1] = row(rows[-1], missing=ranges, in_log=5 + len(ranges))
    world.store(*rows, STREAM)
    world.look()
    text = world.shows()
    assert "7 more ranges are not shown" in text
    assert len(cells(text)) == MOST_RANGES
    fates = cells(text, 1)
    assert (len(fates), fates[0][1]) == (MOST_ROWS + 1, str(MOST_ROWS + 49))
    assert fates[-1][:2] == ["all, with 50 more that are not shown", f"{5 * len(rows) + len(ranges):,}"]


def test_logs_of_one_name_are_told_apart(world: World) -> None:
    logs = [f"arn:aws:kinesis:us-east-1:0:stream/s@{ms}" for ms in (1764000000000, 1764000001000)]
    world.store(BATCH, *(row(STREAM, log_id=log) for log in logs))
    world.look()
    assert [one[0].split(" ", 1)[1] for one in cells(world.shows(), 1)[:2]] == [
        "of 2025-11-24 16:00:00", "of 2025-11-24 16:00:01",
    ]  # fmt: skip


# --- history and API ---


def test_earlier_audits_and_each_by_itself(world: World) -> None:
    for minute in range(25):
        world.store(row(BATCH, in_log=6, in_flight=1) if minute % 2 else BATCH, STREAM, minutes=-minute)
    bad = world.store(row(BATCH, in_log=7, missing=[[5, 6]]), STREAM, minutes=-60)
    world.look()
    assert len(cells(world.shows(), 2)) == 20
    history = cells(world.shows("/audit?history=100"), 2)
    assert len(history) == 26
    assert history[0] == ["12:00:00 UTC", "all accounted for", "batch, stream", "9", "0", "0", "0", "2.5 s"]
    assert history[1][1:6] == ["still flowing", "batch, stream", "10", "0", "1"]
    assert history[-1][1:] == ["not all accounted for", "batch, stream", "11", "2", "0", "1", "2.5 s"]
    text = world.shows(f"/audit?name={bad}")
    assert "2 missing" in text
    assert "Exit code 1: not all accounted for" in text
    listed = world.client.get("/api/v1/audits?limit=100").get_json()["audits"]
    assert (len(listed), listed[-1]["name"], listed[-1]["exit_code"], listed[-1]["missing"]) == (26, bad, 1, 2)
    one = world.client.get(f"/api/v1/audit?name={bad}").get_json()
    assert one["paths"]["batch"]["rows"][0]["missing"] == [[5, 6]]
    assert "verdict" not in one


def test_the_api_gives_rows_as_they_are_stored(world: World) -> None:
    world.store(row(BATCH, name=HOSTILE, in_log=7, missing=[[5, 6]]), STREAM)
    world.store(STREAM, minutes=2, paths=("stream",))
    world.totals = {"batch": 5, "stream": 6}
    world.look()
    found = world.client.get("/api/v1/audit").get_json()
    assert found["paths"]["batch"]["rows"] == [
        msgspec.to_builtins(row(BATCH, name=HOSTILE, in_log=7, missing=[[5, 6]]))
    ]
    assert found["paths"]["stream"]["finished_at"] == "2026-01-01T12:02:00.000Z"
    assert (found["since"], found["as_of"]) == ({"batch": 0, "stream": 2}, "2026-01-01T12:02:00.000Z")
    assert (found["verdict"]["text"], found["state"]) == ("2 missing", "fresh")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/audit?x=1", 400), ("/audit?history=0", 400), ("/audit?history=101", 400), ("/audit?name=", 404),
        ("/audit?name=../../etc/passwd", 404), ("/audit?name=20260101T120000000000Z.json", 404),
        ("/api/v1/audit?name=x&name=y", 400), ("/api/v1/audit?name=x", 404), ("/api/v1/audits?limit=101", 400),
        ("/api/v1/audits?offset=1", 400),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(world: World, path: str, status: int) -> None:
    assert world.client.get(path).status_code == status
