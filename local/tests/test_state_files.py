"""Status and locks where a power cut, a full disk or a person damaged them."""

import json
from pathlib import Path

import pytest
from pipeline_local import locks, tables
from pipeline_local.status import (
    WRITE_AGAIN_S,
    WRITE_EVERY_S,
    DamagedStatusError,
    ServiceStatus,
    Status,
    StatusFile,
    read_status,
)
from service_kit.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "status.json"


def test_what_is_written_is_read(file: Path) -> None:
    service = ServiceStatus("failing", None, 8082, 4, None, 5, "no bucket", "2026-01-01T00:00:00+00:00", ["kafka"])
    status = Status(7, "degraded", "the disk is full", {"proxy": service})
    status.write(file)
    assert read_status(file) == status


def test_a_status_of_an_earlier_release_is_read(file: Path) -> None:
    service = {"state": "ready", "pid": 1, "port": 2, "restarts": 3, "seconds_to_ready": 4.0}
    file.write_text(json.dumps({"pid": 7, "state": "ready", "reason": None, "services": {"kafka": service}}))
    assert read_status(file) == Status(7, "ready", None, {"kafka": ServiceStatus("ready", 1, 2, 3, 4.0)})


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"services": 1}', '{"services": {"a": {"b": 1}}}', "\x00" * 9]
)
def test_a_damaged_status_is_an_error_of_ours(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(DamagedStatusError, match=r"status\.json cannot be read"):
        read_status(file)


def test_no_service_is_not_all_ready() -> None:
    assert not tables.all_ready(Status(0, "failed"))


def test_a_status_is_written_when_it_changes_and_now_and_then(file: Path, clock: ManualClock) -> None:
    status, written = Status(7), StatusFile(file, clock.monotonic)
    written.update(status)
    file.write_text("{")
    written.update(status)
    assert file.read_text() == "{", "nothing changed"
    clock.sleep(WRITE_EVERY_S)
    written.update(status)
    assert read_status(file) == status
    status.state = "ready"
    written.update(status)
    assert read_status(file) == status


def test_a_status_that_cannot_be_written_is_tried_again(file: Path, clock: ManualClock) -> None:
    file.parent.rmdir()
    file.parent.write_text("in the way")
    status, written = Status(7), StatusFile(file, clock.monotonic)
    written.update(status)
    file.parent.unlink()
    written.update(status)
    assert not file.exists(), "it is not tried at every turn"
    clock.sleep(WRITE_AGAIN_S)
    written.update(status)
    assert read_status(file) == status


def test_a_folder_in_the_place_of_a_lock_is_set_aside(tmp_path: Path) -> None:
    lock = tmp_path / "supervisor.lock"
    for _ in range(2):
        lock.unlink(missing_ok=True)
        (lock / "in the way").mkdir(parents=True)
        assert not locks.is_held(lock)
        held = locks.take(lock)
        assert held is not None
        with held:
            assert locks.is_held(lock)
    assert (tmp_path / "supervisor.lock.damaged" / "in the way").exists()
    assert (tmp_path / "supervisor.lock.damaged2" / "in the way").exists()


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    lock.symlink_to(lock)
    with pytest.raises(locks.LockError, match=r"up\.lock cannot be opened"):
        locks.is_held(lock)
