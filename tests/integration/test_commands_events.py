"""`pipeline send` and the demo's sending, with the real emitter and a gateway that is not there."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import psutil
import pytest
from pipeline_local import commands_demo, commands_events, locks
from pipeline_local import installation as runner
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from pipeline_local.status import ServiceStatus, Status
from waiting import wait_until

ROOT = Path(__file__).parents[2]
SEND = ["--events", "10", "--path", "batch"]


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """One that seems to run, with a port where nothing answers."""
    layout = Layout(ROOT, tmp_path)
    supervises = locks.take(layout.supervisor_lock)
    assert supervises is not None
    with supervises, socket.socket() as unanswered:
        unanswered.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LOCALSTACK_PORT", str(unanswered.getsockname()[1]))
        monkeypatch.setenv("PIPELINE_HOME", str(tmp_path))
        yield Installation(layout)


def rows(ledger: Path, sql: str) -> list[tuple[int]]:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def sends(ledger: Path) -> bool:
    try:
        return bool(rows(ledger, "select intent from pending"))
    except sqlite3.OperationalError:
        return False  # no ledger yet, or no tables in it


def ended_in_order(ledger: Path) -> bool:
    """Only the emitter's own end writes how long its run took."""
    return rows(ledger, "select seconds > 0 from runs") == [(1,)]


def send() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from pipeline_local.cli import main; main()", "send", *SEND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run in the background hands an ignored SIGINT on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_send_that_is_ended_says_how_to_go_on(installation: Installation, number: signal.Signals) -> None:
    sending = send()
    wait_until("the emitter sends", lambda: sends(installation.layout.ledger), poll_s=0.05)
    if number == signal.SIGINT:
        os.killpg(sending.pid, number)  # as a terminal does it
    else:
        sending.send_signal(number)
    said = "".join(sending.communicate(timeout=30))
    assert sending.returncode == 3, said
    assert "The same command resumes from here" in said
    assert ended_in_order(installation.layout.ledger)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (Status(1, "stopping"), "`pipeline down` stops the services"),
        (
            Status(1, "degraded", None, {"proxy": ServiceStatus("failing", failures=5, reason="no such setting")}),
            "proxy failed 5 times in a row and is being retried: no such setting",
        ),
    ],
    ids=["stopped", "failing"],
)
def test_send_ends_in_order_when_the_services_are_stopped(
    installation: Installation, status: Status, says: str
) -> None:
    sending = send()
    wait_until("the emitter sends", lambda: sends(installation.layout.ledger), poll_s=0.05)
    assert installation.is_sending
    status.write(installation.layout.status_file)
    said = "".join(sending.communicate(timeout=30))
    assert sending.returncode == 3, said
    assert f"stopped: {says}" in said
    assert "The same command resumes from here" in said
    assert ended_in_order(installation.layout.ledger)
    assert not installation.is_sending


def test_reset_deletes_nothing_while_an_emitter_writes(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SENDER_DEADLINE_S", 0.3)
    installation.claim()
    sending = send()
    try:
        wait_until("the emitter sends", lambda: sends(installation.layout.ledger), poll_s=0.05)
        with pytest.raises(InstallationError, match="an emitter still writes"):
            installation.reset(lambda _: None)
        assert installation.layout.ledger.exists()
    finally:
        sending.terminate()
        sending.communicate(timeout=30)


def test_send_is_not_finished_when_its_emitter_is_killed(installation: Installation) -> None:
    sending = send()
    wait_until("the emitter sends", lambda: sends(installation.layout.ledger), poll_s=0.05)
    (emitter,) = psutil.Process(sending.pid).children()
    emitter.kill()
    sending.communicate(timeout=30)
    assert sending.returncode == 3


def test_an_emitter_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_events, "STOP_DEADLINE_S", 0.2)
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        commands_events.end_emitter(stubborn)
        assert stubborn.returncode == -signal.SIGKILL


def emitters() -> list[psutil.Process]:
    """Those that this process has started; tests before may have left a JVM, too."""
    return [child for child in psutil.Process().children() if "emitter" in child.cmdline()]


def test_a_demo_that_is_ended_while_it_sends_ends_the_emitter_in_order(installation: Installation) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        sys.exit(143)

    def ask() -> None:
        wait_until("the emitter sends", lambda: sends(installation.layout.ledger), poll_s=0.05)
        sending.extend(emitters())
        os.kill(os.getpid(), signal.SIGTERM)

    sending: list[psutil.Process] = []
    before = signal.signal(signal.SIGTERM, end)
    try:
        threading.Thread(target=ask).start()
        with pytest.raises(SystemExit, match="143"):
            commands_demo.send_all(installation, SEND)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended_in_order(installation.layout.ledger)
    assert len(sending) == 1
    assert not emitters()
