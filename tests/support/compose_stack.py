"""One installation of containers for a test: its own project, volumes and ports, driven by ``docker compose`` alone.

It has the interface of ``stack.Stack``, so that one test serves both runners. `restart: unless-stopped` hides what
died: it asserts before its containers go that none was out of memory, and none started again that no test names.
"""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import engine
from stack import SHORT_LIVED, free_ports

COMMAND_DEADLINE_S = 400
UP_DEADLINE_S = 180


class ComposeStack:
    """The system as containers. A context manager: starts on entry, leaves neither container nor volume on exit."""

    def __init__(self, raw: Path | None = None) -> None:
        """``raw`` is what ``--source /raw`` of the emitter reads."""
        self._raw = raw
        self.environment = {
            "COMPOSE_PROJECT_NAME": f"pipeline-test-{uuid.uuid4().hex[:8]}",
            **SHORT_LIVED,
            **free_ports(),
        }
        self.restarted: set[str] = set()
        """Services whose process a test killed inside the container, so that Docker started it again."""

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(self.compose("ps", "--all", check=False).stdout)
            sys.stderr.write(self.compose("logs", "--tail", "15", check=False).stdout)
        try:
            if error is None:
                self._assert_unharmed()
        finally:
            self._end()

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one ``docker compose`` command to its end."""
        return engine.compose(*arguments, environment=self.environment, check=check, profiles=False)

    def up(self) -> None:
        """Block until all is healthy (180 s at most)."""
        self.compose("up", "--wait", "--wait-timeout", str(UP_DEADLINE_S))

    def down(self) -> None:
        """Stop; volumes stay."""
        self._assert_unharmed()
        self.compose("down")
        self.restarted.clear()

    def pipeline(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """What the embedded runner does by ``pipeline COMMAND``."""
        return self.compose(*self._run(*arguments), check=check)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run one such command beside the test."""
        return engine.start(*self._run(*arguments), environment=self.environment)

    def json(self, *arguments: str, check: bool = True) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.pipeline(*arguments, "--format", "json", check=check).stdout)

    def audit(self) -> dict[str, Any]:
        """The audit, once nothing moves any more: analyses again while records are on their way."""
        deadline = time.monotonic() + COMMAND_DEADLINE_S
        while True:
            self.pipeline("analyse")
            done = self.pipeline("audit", "--format", "json", check=False)
            assert "not stored" not in done.stderr, done.stderr
            if done.returncode != 4 or time.monotonic() > deadline:
                assert done.stdout, done.stderr
                document: dict[str, Any] = json.loads(done.stdout)
                return document

    def answers(self) -> dict[str, list[dict[str, Any]]]:
        """The nine tables."""
        answers: dict[str, list[dict[str, Any]]] = self.json("answers")["answers"]
        return answers

    def logs(self, service: str) -> str:
        """All that one service wrote since its container was made."""
        return self.compose("logs", "--no-log-prefix", service).stdout

    def inspected(self, service: str) -> dict[str, Any]:
        """What Docker knows of a service's container."""
        (found,) = engine.inspected(*self.compose("ps", "--all", "--quiet", service).stdout.split())
        return found

    def kill(self, service: str) -> None:
        """kill -9 of a service's container. Docker leaves it dead, until ``up``."""
        self.compose("kill", service)

    def _run(self, command: str, *arguments: str) -> list[str]:
        if command != "send":
            return ["run", "-T", "--rm", "--no-deps", "cli", command, *arguments]
        mount = [] if self._raw is None else ["-v", f"{self._raw}:/raw:ro"]
        return ["run", "-T", "--rm", "--no-deps", *mount, "emitter", *arguments]

    def _assert_unharmed(self) -> None:
        containers = engine.inspected(*self.compose("ps", "--all", "--quiet").stdout.split())
        harmed = engine.harmed(containers, self.restarted)
        assert not harmed, harmed

    def _end(self) -> None:
        engine.remove_containers(self.environment["COMPOSE_PROJECT_NAME"])  # `down` leaves those of `run` alone
        # Without the profiles, the ledger's volume would stay.
        engine.compose("down", "--volumes", "--timeout", "10", environment=self.environment, check=False)
        assert not engine.left_of(self.environment["COMPOSE_PROJECT_NAME"])
