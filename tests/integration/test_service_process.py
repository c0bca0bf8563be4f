"""One suite for the process of a service: the real one, and the fake that stands for it in the supervisor's model."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_process import FakeProcess
from pipeline_local import descendants
from pipeline_local.command import Command
from pipeline_local.supervision.child import Process
from pipeline_local.supervision.service_process import ServiceProcess, ending
from waiting import wait_until

RUNS = "import time; print('no such table', flush=True); time.sleep(60)"
QUIET = "import time; time.sleep(60)"


@pytest.fixture(params=[ServiceProcess, FakeProcess])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    made: Process = request.param(tmp_path / "logs" / "proxy.log", f"{tmp_path}/proxy:")
    yield made
    made.kill()
    assert not descendants.of(f"{tmp_path}/proxy:")


def start(process: Process, program: str = RUNS) -> int:
    process.start(Command([sys.executable, "-c", program], dict(os.environ)))
    if isinstance(process, FakeProcess) and program == RUNS:
        process.says("no such table")
    wait_until("it says what it says", lambda: program != RUNS or process.last_words() is not None)
    assert process.pid is not None
    return process.pid


def kill_from_outside(process: Process) -> None:
    if isinstance(process, FakeProcess):
        process.ends(-9)
    elif process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)


def test_before_its_start_it_is_nothing(process: Process) -> None:
    process.terminate()
    process.wait(0)
    process.kill()
    assert (process.pid, process.exit_code(), process.last_words()) == (None, None, None)


def test_it_runs_until_it_is_killed(process: Process) -> None:
    pid = start(process)
    assert process.exit_code() is None
    kill_from_outside(process)
    assert wait_until("its end is seen", process.exit_code) == -9
    assert (process.pid, process.last_words()) == (pid, "no such table")
    process.kill()
    assert (process.pid, process.exit_code()) == (None, None)


def test_its_next_life_has_its_own_words(process: Process) -> None:
    first = start(process)
    process.kill()
    assert process.last_words() == "no such table"
    assert start(process, QUIET) != first
    assert (process.exit_code(), process.last_words()) == (None, None)


def test_it_ends_when_it_is_asked_to(process: Process) -> None:
    start(process)
    process.terminate()
    process.wait(20)
    assert process.exit_code() == -15


def test_what_cannot_be_started_is_an_error_and_does_not_run(process: Process) -> None:
    with pytest.raises(OSError, match="no such program"):
        process.start(Command(["/no such program"], dict(os.environ)))
    assert (process.pid, process.exit_code()) == (None, None)


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "it ended with exit code 0"), (-9, "it was ended by SIGKILL"), (-99, "it was ended by signal 99")],
)
def test_an_exit_code_in_words(code: int, words: str) -> None:
    assert ending(code) == words
