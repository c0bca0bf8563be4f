"""Audits as the dashboard reads them: five states, and that nothing in the folder can do harm."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dashboard.audits import folder as folders
from dashboard.audits.folder import AuditsFolder, NoAuditError
from dashboard_audits import BATCH, HOSTILE, NOON, STREAM, World, row
from dashboard_frame import FrameOfTests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_contracts import audits


@pytest.fixture
def world(tmp_path: Path, frame: FrameOfTests) -> World:
    return World(tmp_path, frame)


# --- five states ---


def test_before_the_first_look_it_is_loading(world: World) -> None:
    assert 'data-state="loading"' in world.shows()
    assert world.client.get("/api/v1/audit").get_json()["state"] == "loading"


def remove_folder(world: World) -> None:
    world.path.rmdir()


def make_empty(_: World) -> None:
    """As it is."""


@pytest.mark.parametrize("prepare", [remove_folder, make_empty])
def test_without_an_audit_it_says_how_one_is_made(world: World, prepare: Callable[[World], None]) -> None:
    prepare(world)
    assert (world.look().state, world.look().fills) == ("empty", "pipeline audit")
    assert "<code>pipeline audit</code>" in world.shows()


def test_fresh_stale_and_back(world: World) -> None:
    world.store(BATCH, STREAM)
    assert (world.look().state, world.look().as_of) == ("fresh", NOON)
    assert "Nothing lost" in world.shows()
    aside = world.path.rename(world.path.with_name("aside"))
    world.path.write_text("a file is in the way", encoding="utf-8")
    assert world.look().state == "stale"
    shown = world.shows()
    assert "The folder of audits cannot be read: Not a directory" in shown
    assert "Nothing lost" in shown
    world.path.unlink()
    aside.rename(world.path)
    assert world.look().state == "fresh"


def test_where_nothing_can_be_read_it_is_an_error(world: World) -> None:
    world.path.rmdir()
    world.path.write_text("", encoding="utf-8")
    assert world.look().state == "error"
    assert "Cannot be read" in world.shows()
    no_folder = AuditsFolder(None, world.clock)
    no_folder.look()
    assert (no_folder.block().state, no_folder.block().why[:14]) == ("empty", "Not known here")


# --- what the folder may hold ---


def spoil(kind: str, file: Path) -> None:
    body = file.read_bytes()
    match kind:
        case "torn":
            file.write_bytes(body[: len(body) // 2])
        case "empty":
            file.write_bytes(b"")
        case "foreign":
            file.write_bytes(b'{"finished_at": "yesterday"}')
        case "huge":
            with file.open("ab") as stream:
                stream.truncate(audits.MOST_BYTES + 1)
        case "deep":
            file.write_bytes(b"[" * 200_000)
        case "verdict of its own":
            file.write_bytes(body.replace(b'"exit_code": 0', b'"exit_code": 4'))
        case "ranges without an end":
            file.write_bytes(body.replace(b'"missing": []', b'"missing": [[1]]').replace(b'code": 0', b'code": 1'))
        case "rows of another path":
            file.write_bytes(re.sub(rb'"paths": \[.*?\]', b'"paths": ["stream"]', body, flags=re.DOTALL))
        case "link":
            aside = file.rename(file.with_name("aside"))
            file.symlink_to(aside)
        case "pipe":
            file.unlink()
            os.mkfifo(file)
        case "folder":
            file.unlink()
            file.mkdir()


KINDS = [
    "torn", "empty", "foreign", "huge", "deep", "verdict of its own", "rows of another path", "ranges without an end",
    "link", "pipe", "folder",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_audit_is_named_and_skipped(world: World, kind: str) -> None:
    world.store(BATCH, STREAM)
    spoilt = world.store(BATCH, STREAM, minutes=1)
    world.look()
    spoil(kind, world.path / spoilt)
    block = world.look()
    assert (block.state, block.as_of, len(block.known.history)) == ("fresh", NOON, 1)
    assert spoilt in [one.name for one in block.known.skipped]
    whys = {one.name: one.why for one in block.known.skipped}
    assert {"pipe": "it is not a regular file", "huge": "it has more than 4,194,304 bytes"}.get(kind, "") in whys[
        spoilt
    ]
    assert all(whys.values())
    assert spoilt in world.shows()
    with pytest.raises(NoAuditError):
        world.folder.one(spoilt)
    assert world.client.get(f"/audit?name={spoilt}").status_code == 404


def test_a_name_that_is_no_text_is_told_by_pages_and_api(world: World) -> None:
    world.store(BATCH, STREAM)
    (world.path / os.fsdecode(b"\xff<b>")).touch()
    world.look()
    assert "\\udcff&lt;b&gt;" in world.shows()
    assert [one["name"] for one in world.client.get("/api/v1/audits").get_json()["skipped"]] == ["\udcff<b>"]


def test_names_of_strangers_are_inert(world: World) -> None:
    (world.path / HOSTILE.replace("/", "_")).write_text("x", encoding="utf-8")
    (world.path / ".draft").write_text("x", encoding="utf-8")
    world.store(
        row(BATCH, name=HOSTILE, log_id=HOSTILE, missing=[[1, 2]], in_log=7), row(BATCH, name=HOSTILE, in_log=5)
    )
    world.store(
        row(STREAM, name=HOSTILE, partition=HOSTILE, doubled=[[HOSTILE, HOSTILE]]), paths=("stream",), minutes=1
    )
    world.look()
    for text in (world.shows(), world.shows(f"/audit?name={world.look().known.history[0].name}")):
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert "\\u202e" in text
    assert [one.name for one in world.look().known.skipped] == [HOSTILE.replace("/", "_")]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_are_an_audit_or_named(world: World, body: bytes) -> None:
    name = audits.file_name(NOON)
    (world.path / name).write_bytes(body)
    block = world.look()
    assert (block.state, name in block.why) == ("error", True)


def test_a_folder_is_read_as_far_as_its_limits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "MOST_AUDITS", 3)
    names = [world.store(BATCH, STREAM, minutes=minute) for minute in range(5)]
    assert [one.name for one in world.look().known.history] == names[:1:-1]
    monkeypatch.setattr(folders, "_MOST_ENTRIES", 4)
    assert "not all are read" in world.look().known.skipped[0].why


def test_a_file_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = folders._read

    def counting(file: Path) -> Any:
        read.append(file.name)
        return real(file)

    monkeypatch.setattr(folders, "_read", counting)
    world.store(BATCH, STREAM)
    first = world.look()
    assert (world.look().value, len(read)) == (first.value, 1)
    of_batch = world.store(BATCH, minutes=1, paths=("batch",))
    assert {path: one.name for path, one in world.look().known.newest.items()} == {
        "batch": of_batch, "stream": audits.file_name(NOON),
    }  # fmt: skip
    (world.path / of_batch).unlink()
    assert world.look().value == first.value
