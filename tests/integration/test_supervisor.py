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
from pipeline_local.status import DamagedStatusError, Status, read_status
from pipeline_local.supervision import troubles
from pipeline_local.supervision.lifecycle import Health, Limits
from pipeline_local.supervisor import Supervisor
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
QUICK = Limits(first_pause_s=0.05, longest_pause_s=0.2, failing_after=3, start_s=5, silence_s=0.5, stop_s=0.3)
GIB = 1024**3


class Running:
    """A supervisor on a thread."""

    def __init__(
        self, home: Path, programs: dict[str, str], waits_for: dict[str, tuple[str, ...]], ready: bool, limits: Limits
    ) -> None:
        self.layout = Layout(home, home)
        self.ready: dict[str, bool] = dict.fromkeys(programs, ready)
        self.live: dict[str, bool] = dict.fromkeys(programs, True)
        self.probe_errors: dict[str, Exception] = {}
        self.programs = programs
        self.free_bytes = 10 * GIB
        self.shutdown = Shutdown()
        services = {name: Service(name, {}, 1, "P", waits_for.get(name, ()), is_job=False) for name in programs}
        self._supervisor = Supervisor(
            Topology(services),
            self.layout,
            self.shutdown,
            command=lambda _, service: Command([sys.executable, "-c", self.programs[service.name]], dict(os.environ)),
            probe=lambda service: lambda: self._look(service.name),
            free_bytes=lambda _: self.free_bytes,
            limits=limits,
        )
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.code = self._supervisor.run()

    def _look(self, name: str) -> Health:
        if name in self.probe_errors:
            raise self.probe_errors[name]
        return Health(self.live[name], self.live[name] and self.ready[name])

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


def test_a_service_that_keeps_dying_leaves_the_others_running(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": CRASH, "airflow": SLEEP}, airflow=("proxy",)) as stack:
        wait_until("nothing is on its way", lambda: stack.status.state == "degraded")
        assert stack.status.services["kafka"].state == "ready"
        assert stack.status.services["kafka"].restarts == 0
        assert stack.status.services["airflow"].waits_for == ["proxy"]
        proxy = stack.status.services["proxy"]
        assert proxy.reason == "it ended with exit code 7; its last words: no such table"
        wait_until("it is retried", lambda: stack.status.services["proxy"].failures > 4)
        said = troubles.lines(stack.status)
        assert len(said) == 2
        assert said[0].startswith("proxy failed ")
        assert "no such table; see `pipeline logs proxy`" in said[0]
        assert said[1] == "airflow waits for proxy"
        stack.programs["proxy"] = SLEEP
        wait_until("all is ready once it is fixed", lambda: stack.status.state == "ready")
    assert stack.code == 0


def test_a_service_that_never_gets_ready_runs_on_beside_the_others(tmp_path: Path) -> None:
    limits = Limits(start_s=0.3, stop_s=1)
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}, limits=limits) as stack:
        stack.ready["proxy"] = False
        wait_until("nothing is on its way", lambda: stack.status.state == "degraded")
        assert stack.status.services["kafka"].state == "ready"
        assert (stack.status.services["proxy"].state, stack.status.services["proxy"].restarts) == ("unready", 0)


def test_a_service_that_cannot_be_prepared_leaves_the_others_running(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        del stack.programs["proxy"]
        os.kill(stack.pid("proxy"), signal.SIGKILL)
        wait_until("it is given up for now", lambda: stack.status.services["proxy"].state == "failing")
        assert stack.status.services["proxy"].reason == "it cannot be started: 'proxy'"
        assert stack.status.services["kafka"].restarts == 0


def test_a_service_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        old = stack.pid("proxy")
        os.kill(old, signal.SIGSTOP)
        stack.live["proxy"] = False
        wait_until("it is ended", lambda: not psutil.pid_exists(old))
        stack.live["proxy"] = True
        wait_until("all is ready", lambda: stack.status.state == "ready" and stack.pid("proxy") != old)
        assert stack.status.services["proxy"].restarts >= 1
        assert stack.status.services["kafka"].restarts == 0
        (said,) = troubles.lines(stack.status)
        assert said == "proxy is ready, and was started again: it did not answer for 0 s and was killed"


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        stack.free_bytes = 1024**2
        wait_until("it is told", lambda: "is full (1 MiB are free)" in (stack.status.reason or ""))
        os.kill(stack.pid("proxy"), signal.SIGKILL)
        wait_until("it waits", lambda: stack.status.state == "degraded")
        time.sleep(0.5)
        assert stack.status.services["proxy"].state == "restarting"
        assert stack.status.services["kafka"].state == "ready"
        stack.free_bytes = 10 * GIB
        wait_until("it goes on by itself", lambda: stack.status.state == "ready")
        assert stack.status.reason is None


def test_a_status_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """What stands in its place is set aside; a folder that may not be written is retried."""
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        stack.layout.status_file.unlink()
        (stack.layout.status_file / "in the way").mkdir(parents=True)
        draft = stack.layout.status_file.with_suffix(f".{os.getpid()}.tmp")
        (draft / "in the way").mkdir(parents=True)
        os.kill(next(one.pid for one in descendants.of(f"{tmp_path}/proxy:")), signal.SIGKILL)
        wait_until("the proxy is started again", lambda: bool(descendants.of(f"{tmp_path}/proxy:")))
        assert stack.thread.is_alive()
        (draft / "in the way").rmdir()
        draft.rmdir()
        wait_until("the status is there again", stack.layout.status_file.is_file)
        wait_until("all is ready", lambda: stack.status.state == "ready")
        assert stack.status.services["proxy"].restarts == 1
        assert (tmp_path / "status.json.damaged" / "in the way").exists()
        stack.layout.status_file.write_text('{"pid": ')
        with pytest.raises(DamagedStatusError, match="cannot be read"):
            read_status(stack.layout.status_file)
        stack.ready["kafka"] = False
        wait_until("the next change writes it anew", lambda: stack.layout.status_file.read_text() != '{"pid": ')


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


def test_a_look_that_fails_is_one_services_alone(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        stack.probe_errors["proxy"] = ValueError("no JSON")
        wait_until("it is unready", lambda: stack.status.services["proxy"].state == "unready")
        assert stack.status.services["proxy"].reason == "its health cannot be read: ValueError('no JSON')"
        assert stack.status.services["kafka"].state == "ready"
        del stack.probe_errors["proxy"]
        wait_until("all is ready", lambda: stack.status.state == "ready")


def test_an_error_of_the_supervisors_own_ends_everything_and_is_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, {"kafka": SLEEP, "proxy": SLEEP}) as stack:
        wait_until("all is ready", lambda: stack.status.state == "ready")
        stack.free_bytes = None  # type: ignore[assignment]
        stack.thread.join(10)
        assert stack.code == 1
        assert stack.status.state == "failed"
        assert "the supervisor failed: TypeError" in (stack.status.reason or "")


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
