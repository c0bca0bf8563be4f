"""Audits are kept for those who look later: whole or not at all, the newest alone, and never at the verdict's cost."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts import audits
from pipeline_contracts.audits import EXIT_FLOWING, AuditRow, Range, StoredAudit
from pipeline_local import commands_stages
from pipeline_local.audit import keep as keeping
from pipeline_local.audit.keep import keep
from pipeline_local.audit.report import Audit
from pipeline_local.cli import main
from pipeline_local.locks import take

NOON = datetime(2026, 11, 30, 12, 0, 0, 123456, UTC)
PATHS = audits.PATHS
FLOWING = Audit([AuditRow("batch", "pinterest.pin", "L", 0, acknowledged=2, in_log=3, current=2, in_flight=1)])


def stored(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name != ".lock")


def test_a_kept_audit_is_read_as_it_was(tmp_path: Path) -> None:
    file = keep(tmp_path / "audits", FLOWING, ["batch"], NOON, 1.23456)
    assert file.name == "20261130T120000123456Z.json"
    found = audits.decoded(file.read_bytes())
    assert found == StoredAudit(NOON, 1.235, EXIT_FLOWING, ["batch"], FLOWING.rows)
    assert stored(tmp_path / "audits") == [file.name]


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=12), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_the_newest_are_kept_and_nothing_else_is_touched(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int], most: int
) -> None:
    """Wherever the clock stood: the one just written stays, with the latest of the others."""
    folder = tmp_path_factory.mktemp("audits")
    foreign = {"notes.txt", "2026.json", "20261330T120000123456Z.json", "20261130T120000123456Z.json.bak"}
    for name in foreign:
        (folder / name).write_text("mine", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audits, "MOST_AUDITS", most)
        expected: list[datetime] = []
        for second in seconds:
            file = keep(folder, FLOWING, PATHS, NOON + timedelta(seconds=second), 1)
            finished_at = audits.decoded(file.read_bytes()).finished_at
            assert finished_at not in expected
            expected = [*sorted(expected)[max(0, len(expected) + 1 - most) :], finished_at]
    assert set(stored(folder)) == {audits.file_name(moment) for moment in expected} | foreign


def test_a_thousand_ranges_are_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    ranges: list[Range] = [[offset, offset] for offset in range(0, 1400, 2)]
    rows = [AuditRow("batch", "t", "L", number, in_log=1400, current=700, missing=ranges) for number in range(2)]
    found = audits.decoded(keep(tmp_path, Audit(rows), PATHS, NOON, 1).read_bytes())
    assert [len(row.missing) for row in found.rows] == [700, audits.MOST_RANGES - 700]
    assert (found.ranges_left_out, found.exit_code) == (400, 1)
    assert [row.missing_records for row in found.rows] == [700, 700]


def test_an_audit_of_countless_partitions_is_not_stored(tmp_path: Path) -> None:
    rows = [AuditRow("batch", "t" * 1000, "L", number) for number in range(4_000)]
    with pytest.raises(ValueError, match="4,000 partitions"):
        keep(tmp_path, Audit(rows), PATHS, NOON, 1)
    assert stored(tmp_path) == []


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = keep(tmp_path, FLOWING, PATHS, NOON, 1)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keep(tmp_path, FLOWING, PATHS, NOON + timedelta(seconds=1), 1)
    assert stored(tmp_path) == [first.name]


def test_what_gets_the_name_was_written_to_the_disk_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    assert [keep(tmp_path, FLOWING, PATHS, NOON, 1).stat().st_ino] == synced


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".draft").write_bytes(b'{"cut o')
    file = keep(tmp_path, FLOWING, PATHS, NOON, 1)
    assert stored(tmp_path) == [file.name]


def test_one_writes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_PATIENCE_S", 0.05)
    other = take(tmp_path / ".lock")
    assert other is not None
    with other, pytest.raises(TimeoutError, match="another audit"):
        keep(tmp_path, FLOWING, PATHS, NOON, 1)


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


class TestCommand:
    """``pipeline audit`` with stages that are all read."""

    @pytest.fixture(autouse=True)
    def stages(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PIPELINE_HOME", str(tmp_path / "state"))
        monkeypatch.setattr(commands_stages, "must_serve", lambda *_: None)
        monkeypatch.setattr(commands_stages, "audit_paths", lambda *_: FLOWING)

    def audit(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["audit", *arguments])

    def test_it_is_stored(self, tmp_path: Path) -> None:
        before = datetime.now(UTC)
        assert self.audit("--path", "batch").exit_code == EXIT_FLOWING
        (name,) = stored(tmp_path / "state" / "audits")
        found = audits.decoded((tmp_path / "state" / "audits" / name).read_bytes())
        assert (found.exit_code, found.paths, found.rows) == (EXIT_FLOWING, ["batch"], FLOWING.rows)
        assert before <= found.finished_at <= datetime.now(UTC)

    @pytest.mark.parametrize("trouble", ["full", "a file is in the way"])
    def test_the_verdict_stands_where_it_cannot_be_stored(
        self, trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if trouble == "full":
            monkeypatch.setattr(os, "fsync", full)
        else:
            (tmp_path / "state").mkdir()
            (tmp_path / "state" / "audits").write_text("", encoding="utf-8")
        found = self.audit("--format", "json")
        assert found.exit_code == EXIT_FLOWING
        assert "not stored" in found.stderr
        assert json.loads(found.stdout) == FLOWING.as_document()
