"""One installation for a test: its own state folder and ports, driven through the `pipeline` command alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from outside import held_by, left_in
from pipeline_local import descendants
from pipeline_local.topology import read_variables
from servers import free_port
from waiting import wait_until

ROOT = Path(__file__).parents[2]
PIPELINE = str(Path(sys.executable).parent / "pipeline")
COMMAND_DEADLINE_S = 400
SHORT_LIVED = {"ANALYSER_SHORT_LIVED": "true", "STREAM_READER_SHORT_LIVED": "true"}
"""Tests send little: Spark that starts fast does it sooner than Spark that computes fast."""


class Stack:
    """The system as plain processes. A context manager: starts on entry, leaves no process and nothing elsewhere."""

    def __init__(self, home: Path, *, without: str = "airflow") -> None:
        self.home = home
        self._user = home.with_name(f"{home.name}-user"), home.with_name(f"{home.name}-temporary")
        for folder in self._user:
            folder.mkdir(parents=True, exist_ok=True)
        own = {"PIPELINE_HOME": str(home), "PIPELINE_WITHOUT": without}
        own |= {"HOME": str(self._user[0]), "TMPDIR": str(self._user[1])}
        self.environment = {**os.environ, **SHORT_LIVED, **own, **free_ports()}

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()  # what is ready runs on where one service is not
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(self.pipeline("status", check=False).stdout)
            sys.stderr.write(self.pipeline("logs", check=False).stdout)
        held = held_by(self.home)
        self.down()
        assert not descendants.of(f"{self.home}/")
        if error is None:
            outside = [*held, *left_in(*self._user)]
            assert not outside, f"outside the installation's folders: {outside}"

    def pipeline(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; on an unwanted exit code, fail with all it said."""
        done = subprocess.run(
            [PIPELINE, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_DEADLINE_S,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise AssertionError(f"pipeline {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run one command beside the test."""
        return subprocess.Popen(
            [PIPELINE, *arguments],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def up(self) -> None:
        self.pipeline("up")

    def down(self) -> None:
        self.pipeline("down")

    def json(self, *arguments: str, check: bool = True) -> Any:
        return json.loads(self.pipeline(*arguments, "--format", "json", check=check).stdout)

    def audit(self) -> dict[str, Any]:
        """The audit, once nothing moves any more: analyses while records of the batch path are on their way."""
        deadline = time.monotonic() + COMMAND_DEADLINE_S
        while True:
            done = self.pipeline("audit", "--format", "json", check=False)
            assert "not stored" not in done.stderr, done.stderr
            document: dict[str, Any] = json.loads(done.stdout)
            if done.returncode != 4 or time.monotonic() > deadline:
                return document
            if any(row["in_flight"] for row in document["rows"] if row["path"] == "batch"):
                self.pipeline("analyse")

    def answers(self) -> dict[str, list[dict[str, Any]]]:
        """The nine tables."""
        answers: dict[str, list[dict[str, Any]]] = self.json("answers")["answers"]
        return answers

    def kill(self, service: str) -> int:
        """kill -9 of a service's process; returns its number."""
        pid = int(self.json("status", check=False)["services"][service]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_restarted(self, service: str, old_pid: int) -> None:
        """Block until the runner has brought a killed service back."""

        def is_back() -> bool:
            status = self.json("status", check=False)["services"][service]
            return status["pid"] not in {None, old_pid} and status["state"] == "ready"

        wait_until(f"{service} is started again", is_back, poll_s=0.5)


def free_ports() -> dict[str, str]:
    """A free port for every port setting of `.env`."""
    settings = [name for name in read_variables(ROOT / ".env", {}) if name.endswith("_PORT")]
    return {name: str(free_port()) for name in settings}


def fates(audit: dict[str, Any]) -> dict[str, int]:
    """Sums over all rows of an audit."""
    names = (
        "in_log", "current", "superseded", "repeated", "quarantined", "dead_lettered", "expired", "in_flight",
    )  # fmt: skip
    return {name: sum(row[name] for row in audit["rows"]) for name in names}
