"""The file of runs: damaged, of an earlier version, or on a disk that is full for a moment."""

import logging
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from batch_analyser.service import worker as worker_module
from batch_analyser.service.store import KEPT, RunStore
from batch_analyser.service.worker import JVM_GONE, Worker
from fake_tasks import FakeTasks, awaited
from pyspark.errors import PySparkException
from service_kit.clock import ManualClock
from service_kit.ops import NotReadyError
from waiting import wait_until

OLD_SCHEMA = """
CREATE TABLE run (
  run_id INTEGER PRIMARY KEY AUTOINCREMENT,
  parent_id INTEGER REFERENCES run (run_id),
  name TEXT NOT NULL,
  parameters TEXT NOT NULL DEFAULT '{}',
  idempotency_token TEXT UNIQUE,
  life_cycle TEXT NOT NULL DEFAULT 'QUEUED',
  result TEXT,
  message TEXT NOT NULL DEFAULT '',
  created_ms INTEGER NOT NULL,
  started_ms INTEGER,
  ended_ms INTEGER,
  output TEXT,
  error TEXT
);
INSERT INTO run (run_id, parent_id, name, life_cycle, result, created_ms, output) VALUES
  (1, NULL, 'x-batch', 'TERMINATED', 'SUCCESS', 5, NULL),
  (2, 1, 'ingest', 'TERMINATED', 'SUCCESS', 5, 'a'),
  (3, 1, 'clean', 'TERMINATED', 'SUCCESS', 5, 'b');
"""


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 400)


def half(path: Path) -> None:
    store = RunStore(path, ManualClock())
    for _ in range(200):
        store.add("x-batch", {"ingest": {}, "clean": {}}, {})
    store.close()
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])


def torn(path: Path) -> None:
    half(path)
    body = bytearray(path.read_bytes())
    body[4096:8192] = bytes(4096)
    path.write_bytes(body)


def other(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE run (speed INTEGER)")


@pytest.mark.parametrize("damage", [garbage, half, torn, other])
def test_a_damaged_file_is_set_aside_and_a_new_one_begins(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The analyser died at each start, six times, and then all services were stopped."""
    path = tmp_path / "runs.sqlite"
    damage(path)
    before = path.read_bytes()
    with caplog.at_level(logging.ERROR):
        store = RunStore(path, ManualClock())
    assert store.newest() == []
    run, _ = store.add("x-batch", {"ingest": {}}, {})
    assert store.get(run.run_id) == run
    store.close()
    (aside,) = tmp_path.glob("runs.sqlite.damaged-*[0-9]")
    assert aside.read_bytes() == before
    (said,) = caplog.records
    assert "it was renamed" in said.getMessage()
    assert said.file == str(aside)  # type: ignore[attr-defined]


def test_what_is_no_damage_is_not_set_aside(tmp_path: Path) -> None:
    (tmp_path / "runs.sqlite").mkdir()
    with pytest.raises(sqlite3.OperationalError):
        RunStore(tmp_path / "runs.sqlite", ManualClock())
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs.sqlite"]


def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(OLD_SCHEMA)
    for _ in range(2):
        store = RunStore(path, ManualClock())
        run, tasks = store.get(1), store.tasks(1)
        assert run is not None
        assert (run.run_type, run.timeout_s, run.attempt) == ("JOB_RUN", 0, 0)
        assert [(task.name, task.output, list(task.depends_on)) for task in tasks] == [
            ("ingest", "a", []),
            ("clean", "b", ["ingest"]),
        ]
        store.close()


def test_runs_are_kept_for_sixty_days(tmp_path: Path) -> None:
    clock = ManualClock()
    store = RunStore(tmp_path / "runs.sqlite", clock)
    old, _ = store.add("x-batch", {"ingest": {}}, {}, "old")
    store.end_early(old.run_id, "CANCELED")
    store.repair(old.run_id, ["ingest"], {})
    store.end_early(old.run_id, "CANCELED")
    waiting, _ = store.add("x-batch", {"ingest": {}}, {}, "waits")
    clock.sleep(KEPT.total_seconds() + timedelta(hours=1).total_seconds())
    new, is_new = store.add("x-batch", {"ingest": {}}, {}, "old")
    assert is_new
    assert [run.run_id for run in store.newest()] == [new.run_id, waiting.run_id]
    assert store.get(old.run_id) is None
    assert store.tasks(old.run_id) == []
    store.close()


class FullForAMoment(RunStore):
    """Its disk is full at the first two looks."""

    looks = 0

    def next_queued(self) -> int | None:
        self.looks += 1
        if self.looks <= 2:
            raise sqlite3.OperationalError("database or disk is full")
        return super().next_queued()


def test_a_file_that_cannot_be_read_for_a_moment_stops_no_run(
    tmp_path: Path, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_IDLE_S", 0.05)
    store = FullForAMoment(tmp_path / "runs.sqlite", ManualClock())
    worker = Worker(store, tasks.all(), 2)
    run = worker.submit("x-batch", {"ingest": {}}, {}, None)
    worker.start(first=lambda: None)

    def troubled() -> bool:
        try:
            worker.check()
        except NotReadyError as error:
            return "disk is full" in str(error)
        return False

    wait_until("not ready", troubled, 5, poll_s=0.005)
    awaited(store, run.run_id)
    ended = store.get(run.run_id)
    assert ended is not None
    assert ended.result == "SUCCESS"
    wait_until("ready", lambda: worker.check() == "runs go on", 5)
    assert worker.stop(5.0)
    with pytest.raises(NotReadyError):
        worker.check()
    store.close()


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), PySparkException("gone")])
def test_a_run_in_which_the_jvm_dies_may_be_started_again(
    store: RunStore, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As INTERNAL_ERROR, which is what the command and Airflow's retries start again."""
    alive = [True]

    def ingest(_parameters: object) -> str:
        if not isinstance(error, ConnectionError):
            alive[0] = False
        raise error

    checks = iter(range(3))

    def session() -> bool:
        """A broken connection shows a moment before the process is seen to have ended."""
        if isinstance(error, ConnectionError) and next(checks, None) is None:
            alive[0] = False
        return alive[0]

    worker = Worker(store, {"ingest": ingest, "clean": ingest}, 2, alive=session)
    worker.start(first=lambda: None)
    run = worker.submit("x-batch", {"ingest": {}, "clean": {}}, {}, None, depends_on={"clean": ["ingest"]})
    awaited(store, run.run_id)
    assert worker.stop(5.0)
    for one in (store.get(run.run_id), *store.tasks(run.run_id)):
        assert one is not None
        assert (one.life_cycle, one.result, one.message) == ("INTERNAL_ERROR", "FAILED", JVM_GONE)
