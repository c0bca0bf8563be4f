"""The supervisor over small real processes."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pipeline_local import descendants
from pipeline_local.command import Command
from pipeline_local.layout import Layout
from pipeline_local.status import Status, read_status
from pipeline_local.supervisor import Limits, Supervisor
from pipeline_local.topology import Service, Topology
from service_kit.shutdown import Shutdown
from waiting import wait_until

SLEEP = "import time; time.sleep(60)"
CRASH = "print('no such table'); raise SystemExit(7)"
# A child that ignores SIGTERM and has a child of its own in another session.
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); time.sleep(60)"
)
CHATTY = "import time; print('x' * 11_000_000, flush=True); time.sleep(60)"
QUICK = Limits(max_restarts=2, first_wait=0.05, start=5, stop=0.3)


class Running:
    """A supervisor on a thread."""

    def __init__(
        self, home: Path, programs: dict[str, str], waits_for: dict[str, tuple[str, ...]], ready: bool, limits: Limits
    ) -> None:
        self.layout = Layout(home, home)
        self.ready: dict[str, bool] = dict.fromkeys(programs, ready)
        self.shutdown = Shutdown()
        services = {name: Service(name, {}, 1, "P", waits_for.get(name, ()), is_job=False) for name in programs}
        self._supervisor = Supervisor(
            Topology(services),
            self.layout,
            self.shutdown,
            command=lambda _, service: Command([sys.executable, "-c", programs[service.name]], dict(os.environ)),
            probe=lambda service: lambda: self._is_ready(service.name),
            limits=limits,
        )
        self.probe_error: Exception | None = None
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.code = self._supervisor.run()

    def _is_ready(self, name: str) -> bool:
        if self.probe_error is not None:
            raise self.probe_error
        return self.ready[name]

    @property
    def status(self) -> Status:
        status = read_status(self.layout.status_file)
        assert status is not None
        return status

    def pid(self, name: str) -> int:
        pid = self.status.services[name].pid
        assert pid is not None
        return pid


@contextmanager
def running(
    home: Path, programs: dict[str, str], *, ready: bool = True, limits: Limits = QUICK, **waits_for: tuple[str, ...]
) -> Iterator[Running]:
    stack = Running(home, programs, waits_for, ready, limits)
    try:
        wait_until("it says what it is", stack.layout.status_file.exists)
        yield stack
    finally:
        stack.shutdown.request()
        stack.thread.join(20)
        assert not stack.thread.is_alive()
        assert not descendants.of(f"{home}/")


def test_a_service_starts_when_what_it_waits_for_is_ready(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}, ready=False, proxy=("kafka",)) as stack:
        wait_until("Kafka starts", lambda: stack.status.services["kafka"].state == "starting")
        assert stack.status.services["proxy"].state == "waiting"
        stack.ready["kafka"] = True
        wait_until("the proxy starts", lambda: stack.status.services["proxy"].state == "starting")
        stack.ready["proxy"] = True
        wait_until("all is ready", lambda: stack.status.state == "ready")
    assert stack.code == 0
    assert stack.status.state == "stopped"


def test_a_service_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path, {"proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        old = stack.pid("proxy")
        os.kill(old, signal.SIGKILL)
        wait_until(
            "the proxy is started again",
            lambda: stack.status.services["proxy"].restarts == 1 and stack.status.services["proxy"].state == "ready",
        )
        assert stack.pid("proxy") != old


def test_a_service_that_keeps_dying_ends_everything_with_its_last_lines(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": CRASH}) as stack:
        stack.thread.join(10)
        assert stack.code == 1
        assert stack.status.state == "failed"
        assert stack.status.reason is not None
        assert "proxy died 3 times" in stack.status.reason
        assert "exit code 7" in stack.status.reason
        assert "no such table" in stack.status.reason


def test_a_service_that_never_gets_ready_ends_everything(tmp_path: Path) -> None:
    with running(tmp_path, {"proxy": SLEEP}, ready=False, limits=Limits(start=0.3, stop=1)) as stack:
        stack.thread.join(10)
        assert stack.code == 1
        assert "proxy was not ready within 0 s" in (stack.status.reason or "")


def test_nothing_is_left_of_a_stubborn_service_with_a_child_elsewhere(tmp_path: Path) -> None:
    with running(tmp_path, {"localstack": STUBBORN}):
        wait_until("both processes run", lambda: len(descendants.of(f"{tmp_path}/localstack:")) == 2)
        pids = [process.pid for process in descendants.of(f"{tmp_path}/localstack:")]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_what_a_killed_service_leaves_behind_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    with running(tmp_path, {"localstack": STUBBORN}) as stack:
        wait_until("both processes run", lambda: len(descendants.of(f"{tmp_path}/localstack:")) == 2)
        old = {process.pid for process in descendants.of(f"{tmp_path}/localstack:")}
        os.kill(stack.pid("localstack"), signal.SIGKILL)
        wait_until("LocalStack is started again", lambda: stack.status.services["localstack"].restarts == 1)
        wait_until("both processes run", lambda: len(descendants.of(f"{tmp_path}/localstack:")) == 2)
        assert not old & {process.pid for process in descendants.of(f"{tmp_path}/localstack:")}


def test_an_error_of_the_supervisors_own_ends_everything_and_is_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        stack.probe_error = OSError(28, "No space left on device")
        stack.thread.join(10)
        assert stack.code == 1
        assert stack.status.state == "failed"
        assert "No space left on device" in (stack.status.reason or "")


def test_everything_ends_where_the_status_cannot_be_written(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        stack.layout.status_file.unlink()
        (stack.layout.status_file / "in the way").mkdir(parents=True)
        stack.shutdown.request()
        stack.thread.join(10)
    assert stack.code == 0


def test_a_process_that_cannot_be_ended_spares_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill = descendants.kill

    def only_others(owner: str) -> int:
        if owner.endswith("/proxy:"):
            raise TimeoutError("these processes do not end: [7]")
        return kill(owner)

    monkeypatch.setattr(descendants, "kill", only_others)
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}, proxy=("kafka",)) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
    assert {name: service.state for name, service in stack.status.services.items()} == {
        "kafka": "stopped",
        "proxy": "failed",
    }


def test_a_log_that_cannot_be_rotated_is_no_reason_to_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logs = tmp_path / "logs"
    (logs / "proxy.log.2" / "in the way").mkdir(parents=True)
    (logs / "proxy.log.1").write_text("older\n")
    with running(tmp_path, {"proxy": CHATTY}) as stack:
        wait_until("the log tells it", lambda: "log is not rotated" in caplog.messages)
        wait_until("all is ready", lambda: stack.status.state == "ready")
        time.sleep(1)
        assert stack.status.state == "ready"
    assert caplog.messages.count("log is not rotated") == 1
    assert (logs / "proxy.log.1").read_text() == "older\n"
