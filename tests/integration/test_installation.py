"""Starting and stopping an installation, with small processes in the place of the supervisor and its services."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from pipeline_local import descendants, installation, locks, preflight, toolchain
from pipeline_local.cli import up
from pipeline_local.installation import Installation, Up
from pipeline_local.layout import Layout
from pipeline_local.status import ServiceStatus

ROOT = Path(__file__).parents[2]
QUIET = "import time; print('on', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {QUIET}"
# The real supervisor of a service that is ready once the test says so; and of a sink, where it has a folder, that dies
# at every start until the test has fixed it.
SUPERVISOR = """
import sys
from pipeline_local import locks
from pipeline_local.command import Command
from pipeline_local.layout import Layout
from pipeline_local.supervision.lifecycle import Health, Limits
from pipeline_local.supervisor import Supervisor, retry_on_signal
from pipeline_local.topology import Service, Topology
from service_kit.shutdown import Shutdown

layout = Layout.of_checkout()
retry = retry_on_signal()
held = locks.take(layout.supervisor_lock, 1)
if held is None:
    sys.exit(4)
shutdown = Shutdown()
shutdown.install()
names = ["proxy", "s3-sink"] if (layout.home / "s3-sink").exists() else ["proxy"]

def command(_, service):
    dies = service.name == "s3-sink" and not (layout.home / "s3-sink" / "fixed").exists()
    return Command([sys.executable, "-c", "exit('no such setting')" if dies else "import time; time.sleep(60)"])

sys.exit(
    Supervisor(
        Topology({name: Service(name, {}, 1, "P", (), is_job=False) for name in names}),
        layout,
        shutdown,
        command=command,
        probe=lambda _: lambda: Health(live=True, ready=(layout.home / "proxy" / "may be ready").exists()),
        limits=Limits(first_pause_s=20, longest_pause_s=600, failing_after=1),
        retry=retry,
    ).run()
)
"""


@contextmanager
def process(program: str, owner: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, descendants.MARKER: owner},
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Nothing to set up, and the supervisor of one service."""
    monkeypatch.setattr(installation, "SUPERVISOR", (sys.executable, "-c", SUPERVISOR))
    monkeypatch.setattr(preflight, "problems", lambda *_, **__: [])
    monkeypatch.setattr(toolchain, "missing", lambda _: [])
    monkeypatch.setattr(toolchain, "install", lambda *_: None)
    found = Installation(Layout(ROOT, tmp_path))
    yield found
    found.down(lambda _: None)
    assert not descendants.of(f"{tmp_path}/")


def may_be_ready(own: Installation) -> None:
    folder = own.layout.home / "proxy"
    folder.mkdir(exist_ok=True)
    (folder / "may be ready").touch()


def proxy(own: Installation) -> ServiceStatus:
    status = own.status
    assert status is not None
    return status.services["proxy"]


def test_up_and_down(own: Installation) -> None:
    may_be_ready(own)
    told: list[str] = []
    assert not own.runs
    assert own.up(told.append) == Up(started=True, not_ready=[])
    assert [line.partition(" after")[0] for line in told] == ["proxy is ready"]
    assert own.runs
    assert own.up(told.append) == Up(started=False, not_ready=[])
    assert len(told) == 1
    assert own.down(told.append)
    assert not own.runs
    assert own.status is not None
    assert own.status.state == "stopped"


def test_up_ends_with_what_is_ready_and_names_what_is_not(own: Installation) -> None:
    may_be_ready(own)
    (own.layout.home / "s3-sink").mkdir()
    first = CliRunner().invoke(up, [], obj=own)
    assert first.exit_code == 5
    (line,) = [line for line in first.stdout.splitlines() if line.startswith("s3-sink")]
    assert "it ended with exit code 1; its last words: no such setting; see `pipeline logs s3-sink`" in line
    assert "proxy is ready after" in first.stderr
    assert proxy(own).state == "ready"
    second = CliRunner().invoke(up, [], obj=own)
    assert second.exit_code == 5
    assert "no such setting" in second.stdout
    (own.layout.home / "s3-sink" / "fixed").touch()
    began = time.monotonic()
    assert own.up(lambda _: None) == Up(started=False, not_ready=[]), "it tries now what failed"
    assert time.monotonic() - began < 20
    assert proxy(own).restarts == 0


def test_a_supervisor_that_was_killed_is_told(own: Installation) -> None:
    may_be_ready(own)
    own.up(lambda _: None)
    assert descendants.kill(own.layout.supervisor_owner) == 1
    assert not own.runs
    assert own.status is not None
    assert own.status.reason == "the supervisor was killed"
    assert own.down(lambda _: None), "its service was left"


def test_the_second_of_two_ups_waits_and_harms_nothing(own: Installation) -> None:
    """It comes while the first one's service starts, and both see nothing that runs."""
    waits = threading.Event()
    started: list[bool] = []
    first = threading.Thread(target=lambda: started.append(own.up(lambda _: None).started))
    first.start()
    while not own.runs or own.status is None or proxy(own).pid is None:
        assert first.is_alive()
        time.sleep(0.02)
    second = threading.Thread(target=lambda: started.append(own.up(lambda _: waits.set()).started))
    second.start()
    assert waits.wait(10)
    pid = proxy(own).pid
    may_be_ready(own)
    first.join(20)
    second.join(20)
    assert sorted(started) == [False, True]
    assert (proxy(own).state, proxy(own).pid, proxy(own).restarts) == ("ready", pid, 0)


def test_an_up_that_fails_leaves_another_ones_services_alone(own: Installation) -> None:
    """The lock is held by a supervisor that no `up` started."""
    held = locks.take(own.layout.supervisor_lock)
    assert held is not None
    with held, process(QUIET, f"{own.layout.home}/proxy:") as service:
        supervisor = subprocess.Popen([sys.executable, "-c", QUIET])
        own._end(supervisor)
        assert supervisor.poll() is not None
        assert service.poll() is None


def test_a_step_of_the_clock_hides_nothing(own: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil adds a process' start to the time of boot, which Linux counts back from the clock."""
    linux = pytest.importorskip("psutil._pslinux")
    may_be_ready(own)
    own.up(lambda _: None)
    before = linux.boot_time()
    monkeypatch.setattr(linux, "boot_time", lambda: before + 3600)
    assert own.runs
    assert own.status is not None
    assert own.status.state == "ready"
    assert own.down(lambda _: None)
    assert not descendants.of(f"{own.layout.home}/")


def test_down_kills_what_does_not_end_in_time_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "DOWN_DEADLINE_S", 0.3)
    told: list[str] = []
    own = Installation(Layout(ROOT, tmp_path))
    with (
        process(STUBBORN, own.layout.supervisor_owner) as supervisor,
        process(STUBBORN, f"{tmp_path}/proxy:") as service,
    ):
        assert own.down(told.append)
        assert supervisor.poll() is not None
        assert service.poll() is not None
    assert len(told) == 1
    assert f"the supervisor (process {supervisor.pid}) did not end within 0 s" in told[0]


def test_down_when_nothing_runs(tmp_path: Path) -> None:
    assert not Installation(Layout(ROOT, tmp_path)).down(lambda _: None)
