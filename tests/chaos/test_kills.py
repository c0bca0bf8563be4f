"""kill -9 of each process of the batch path in the middle of a run, restarted by the runner: the answers are those of
the raw files, and every record is accounted for. (The stream reader has tests of its own, in ``tests/integration``.)"""

import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from posts import write_generated
from recompute import recompute
from stack import Stack

BATCH_ALONE = "airflow,stream-reader"
EVENTS = 12_000
SEED = 11
RATE = "1500"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generated(tmp_path_factory.mktemp("raw"), EVENTS, SEED)


def await_acknowledged(stack: Stack, records: int) -> None:
    """Block until the ledger holds so many acknowledgements (60 s at most)."""
    ledger = stack.home / "emitter" / "ledger.sqlite"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if ledger.exists():
            with sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True) as database:
                try:
                    (count,) = database.execute("select count(*) from acknowledgements").fetchone()
                except sqlite3.OperationalError:
                    count = 0  # the emitter is making its tables
            if count >= records:
                return
        time.sleep(0.1)
    raise AssertionError("the emitter does not get on")


def must_equal_the_raw_files(stack: Stack, raw: Path) -> None:
    audit = stack.audit()
    assert audit["ok"], audit
    expected = recompute(raw)
    answers = stack.answers()
    assert answers == {name: expected[name] for name in answers}


@pytest.mark.parametrize("service", ["kafka", "proxy", "s3-sink", "localstack"])
def test_killed_while_events_flow(service: str, tmp_path: Path, raw: Path) -> None:
    with Stack(tmp_path / "state", without=BATCH_ALONE) as stack:
        sending = stack.start("send", "--source", str(raw), "--rate", RATE)
        await_acknowledged(stack, EVENTS // 4)
        pid = stack.kill(service)
        stack.await_restarted(service, pid)
        said, _ = sending.communicate(timeout=200)
        assert sending.returncode == 0, said
        must_equal_the_raw_files(stack, raw)


def test_analyser_killed_while_it_analyses(tmp_path: Path, raw: Path) -> None:
    with Stack(tmp_path / "state", without=BATCH_ALONE) as stack:
        stack.pipeline("send", "--source", str(raw))
        analysing = stack.start("analyse")
        bronze = stack.home / "lake" / "bronze" / "events" / "_delta_log"
        deadline = time.monotonic() + 120
        while not list(bronze.glob("*1.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        stack.kill("analyser")
        said, _ = analysing.communicate(timeout=200)
        assert analysing.returncode == 0, said
        must_equal_the_raw_files(stack, raw)


def test_emitter_killed_goes_on_from_its_ledger(tmp_path: Path, raw: Path) -> None:
    with Stack(tmp_path / "state", without=BATCH_ALONE) as stack:
        sending = stack.start("send", "--source", str(raw), "--rate", RATE)
        await_acknowledged(stack, EVENTS // 4)
        sending.kill()
        sending.communicate(timeout=20)
        stack.pipeline("send", "--source", str(raw))
        must_equal_the_raw_files(stack, raw)


def test_kafka_wiped_between_two_runs_begins_a_new_log(tmp_path: Path, raw: Path) -> None:
    """The second run's offsets begin at 0 again, under another log id, and collide with nothing."""
    stack = Stack(tmp_path / "state", without=BATCH_ALONE)
    with stack:
        stack.pipeline("send", "--source", str(raw), "--events", str(EVENTS // 2))
        first = stack.audit()
        assert first["ok"], first
    shutil.rmtree(stack.home / "kafka")
    with stack:
        stack.pipeline("send", "--source", str(raw))
        must_equal_the_raw_files(stack, raw)
        rows = stack.json("audit", "--path", "batch", check=False)["rows"]
        assert len({row["log_id"] for row in rows}) == 6
