"""Stopping an installation, with small processes in the place of the supervisor and its services."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pipeline_local import descendants, installation
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout
from pipeline_local.status import ProcessId, Status

ROOT = Path(__file__).parents[2]
QUIET = "import time; print('on', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {QUIET}"


@contextmanager
def process(program: str, owner: str = "") -> Iterator[subprocess.Popen[str]]:
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


def test_down_waits_for_the_supervisor(tmp_path: Path) -> None:
    told: list[str] = []
    with process(QUIET) as supervisor:
        Status(ProcessId.of(supervisor.pid), "ready").write(tmp_path / "status.json")
        assert Installation(Layout(ROOT, tmp_path)).down(told.append)
        assert supervisor.poll() is not None
    assert not told


def test_down_kills_what_does_not_end_in_time_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "DOWN_DEADLINE_S", 0.3)
    told: list[str] = []
    with process(STUBBORN) as supervisor, process(STUBBORN, f"{tmp_path}/proxy:") as service:
        Status(ProcessId.of(supervisor.pid), "ready").write(tmp_path / "status.json")
        assert Installation(Layout(ROOT, tmp_path)).down(told.append)
        assert supervisor.poll() is not None
        assert service.poll() is not None
    assert len(told) == 1
    assert f"the supervisor (process {supervisor.pid}) did not end within 0 s" in told[0]


def test_down_when_nothing_runs(tmp_path: Path) -> None:
    assert not Installation(Layout(ROOT, tmp_path)).down(lambda _: None)
