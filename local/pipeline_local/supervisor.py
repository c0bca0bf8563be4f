"""Keeps the services running: starts them in order, restarts what dies, ends everything together.

``python -m pipeline_local.supervisor`` is what ``pipeline up`` leaves behind. It holds the installation's lock,
writes ``status.json`` at every change, and ends on SIGTERM or SIGINT. A child that dies is started again after a
growing wait; one that dies more than ``MAX_RESTARTS`` times within ``RESTART_WINDOW_S`` ends everything, with its
last lines as the reason. So does an error of the supervisor's own: no child runs on unwatched.
"""

import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
from service_kit.logs import configure_logging
from service_kit.shutdown import Shutdown

from pipeline_local import descendants, locks, processes
from pipeline_local.command import Command
from pipeline_local.layout import Layout
from pipeline_local.logfiles import rotate, tail
from pipeline_local.status import ServiceStatus, Status
from pipeline_local.topology import Service, Topology, read_topology, read_variables

MAX_RESTARTS = 5
RESTART_WINDOW_S = 300.0
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
START_DEADLINE_S = 180.0
STOP_DEADLINE_S = 25.0
POLL_S = 0.2
PROBE_EVERY_S = 2.0
LOCK_PATIENCE_S = 2.0
"""A look at the lock holds it for a moment."""
ROTATE_AGAIN_S = 60.0
"""After a log could not be rotated."""

logger = logging.getLogger(__name__)


class GaveUpError(RuntimeError):
    """A service cannot be kept running."""


@dataclass
class _Child:
    service: Service
    status: ServiceStatus
    probe: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    next_start_at: float = 0.0
    next_probe_at: float = 0.0
    deaths: deque[float] = field(default_factory=deque)


@dataclass(frozen=True)
class Limits:
    """How long the supervisor waits, in seconds, and how often it starts a service again."""

    max_restarts: int = MAX_RESTARTS
    restart_window: float = RESTART_WINDOW_S
    first_wait: float = FIRST_WAIT_S
    start: float = START_DEADLINE_S
    stop: float = STOP_DEADLINE_S


class Supervisor:
    """Runs the long-running services of one topology until asked to stop.

    ``home`` marks the processes, holds ``status.json`` and the folder ``logs``. ``command`` and ``probe`` say how
    a service runs and whether it is ready.
    """

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        shutdown: Shutdown,
        *,
        command: Callable[[Layout, Service], Command],
        probe: Callable[[Service], Callable[[], bool]] = processes.probe,
        limits: Limits = Limits(),
    ) -> None:
        self._layout = layout
        self._shutdown = shutdown
        self._command = command
        self._limits = limits
        self._status = Status(os.getpid())
        self._children: dict[str, _Child] = {}
        self._next_rotation = 0.0
        for service in topology.long_running:
            status = ServiceStatus(port=service.port)
            self._status.services[service.name] = status
            self._children[service.name] = _Child(service, status, probe(service))

    def run(self) -> int:
        """Run until asked to stop (returns 0) or something cannot be kept running (returns 1)."""
        try:
            self._keep_running()
        except GaveUpError as error:
            self._status.reason = str(error)
        except Exception as error:
            logger.exception("supervisor failed")
            self._status.reason = f"the supervisor failed: {error!r}; see `pipeline logs supervisor`"
        finally:
            self._stop_all()
        self._status.state = "failed" if self._status.reason else "stopped"
        self._try_to_write()
        return 1 if self._status.reason else 0

    def _keep_running(self) -> None:
        self._layout.logs.mkdir(parents=True, exist_ok=True)
        self._write()
        while not self._shutdown.requested:
            for child in self._children.values():
                self._look_after(child)
            self._rotate(self._layout.logs / "supervisor.log")
            self._write_if_all_ready()
            self._shutdown.wait(POLL_S)

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        self._rotate(self._log_file(child))
        if child.process is None:
            waiting = [name for name in child.service.waits_for if self._children[name].status.state != "ready"]
            never_started = child.status.state == "waiting"
            if now >= child.next_start_at and not (never_started and waiting):
                self._start(child)
        elif (code := child.process.poll()) is not None:
            self._note_death(child, code, now)
        elif now >= child.next_probe_at:
            self._probe(child, now)

    def _start(self, child: _Child) -> None:
        command = self._command(self._layout, child.service)
        child.process = _spawn(command, self._log_file(child), self._owner(child))
        child.started_at = time.monotonic()
        child.next_probe_at = child.started_at + POLL_S
        child.status.pid = child.process.pid
        child.status.state = "starting"
        self._write()
        logger.info("service started", extra={"started": child.service.name, "pid": child.process.pid})

    def _probe(self, child: _Child, now: float) -> None:
        ready = child.probe()
        was = child.status.state
        if ready and was != "ready":
            child.status.state = "ready"
            if was == "starting":
                child.status.seconds_to_ready = round(time.monotonic() - child.started_at, 2)
        elif not ready and was == "ready":
            child.status.state = "unready"
        elif not ready and was == "starting" and now - child.started_at > self._limits.start:
            last = tail(self._log_file(child), 20)
            raise GaveUpError(
                f"{child.service.name} was not ready within {self._limits.start:.0f} s. Last lines:\n{last}"
            )
        if child.status.state != was:
            self._write()
            logger.info("service changed", extra={"changed": child.service.name, "state": child.status.state})
        child.next_probe_at = now + (PROBE_EVERY_S if child.status.state == "ready" else POLL_S)

    def _note_death(self, child: _Child, code: int, now: float) -> None:
        name = child.service.name
        descendants.kill(self._owner(child))
        child.process = None
        child.deaths.append(now)
        while child.deaths[0] < now - self._limits.restart_window:
            child.deaths.popleft()
        logger.warning("service died", extra={"died": name, "exit_code": code, "deaths": len(child.deaths)})
        if len(child.deaths) > self._limits.max_restarts:
            last = tail(self._log_file(child), 20)
            raise GaveUpError(
                f"{name} died {len(child.deaths)} times within {self._limits.restart_window:.0f} s "
                f"(last exit code {code}). Last lines:\n{last}"
            )
        child.status.restarts += 1
        child.status.state = "restarting"
        child.next_start_at = now + min(self._limits.first_wait * 2 ** (len(child.deaths) - 1), LONGEST_WAIT_S)
        self._write()

    def _stop_all(self) -> None:
        self._status.state = "stopping"
        self._try_to_write()
        running = [child for child in reversed(self._children.values()) if child.process is not None]
        # Who reads goes before who serves: in the reverse order of starting, each level awaited.
        while running:
            needed = {name for child in running for name in child.service.waits_for}
            leaves = [child for child in running if child.service.name not in needed]
            for child in leaves:
                _terminate(child.process)
            asked = time.monotonic()
            deadline = asked + self._limits.stop
            for child in leaves:
                _wait(child.process, deadline)
                self._end(child, asked)
            running = [child for child in running if child not in leaves]

    def _end(self, child: _Child, asked: float) -> None:
        name = child.service.name
        try:
            descendants.kill(self._owner(child))
        except (OSError, psutil.Error):
            child.status.state = "failed"
            logger.exception("service cannot be stopped", extra={"stopped": name})
        else:
            child.status.state = "stopped"
            child.status.pid = None
            logger.info("service stopped", extra={"stopped": name, "seconds": round(time.monotonic() - asked, 2)})
        self._try_to_write()

    def _rotate(self, file: Path) -> None:
        now = time.monotonic()
        if now < self._next_rotation:
            return
        try:
            rotate(file)
        except OSError as error:
            self._next_rotation = now + ROTATE_AGAIN_S
            logger.warning("log is not rotated", extra={"file": file.name, "error": str(error)})

    def _write_if_all_ready(self) -> None:
        if self._status.state == "starting" and all(child.status.state == "ready" for child in self._children.values()):
            self._status.state = "ready"
            self._write()

    def _write(self) -> None:
        self._status.write(self._layout.status_file)

    def _try_to_write(self) -> None:
        """On the way out: a full disk keeps nothing from being stopped."""
        try:
            self._write()
        except OSError:
            logger.exception("status is not written")

    def _owner(self, child: _Child) -> str:
        return f"{self._layout.home}/{child.service.name}:"

    def _log_file(self, child: _Child) -> Path:
        return self._layout.logs / f"{child.service.name}.log"


def _spawn(command: Command, log_file: Path, owner: str) -> subprocess.Popen[bytes]:
    with log_file.open("ab") as log:
        return subprocess.Popen(
            command.argv,
            env={**command.env, descendants.MARKER: owner},
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _terminate(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.terminate()


def _wait(process: subprocess.Popen[bytes] | None, deadline: float) -> None:
    if process is not None:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("service did not end in time and is killed", extra={"pid": process.pid})


def main() -> None:
    """Composition root of the supervisor process."""
    configure_logging("supervisor")
    layout = Layout.of_checkout()
    held = locks.take(layout.supervisor_lock, LOCK_PATIENCE_S)
    if held is None:
        logger.error("another supervisor runs this installation", extra={"home": str(layout.home)})
        sys.exit(4)
    topology = read_topology(layout.root / "compose.yaml", read_variables(layout.root / ".env", os.environ))
    shutdown = Shutdown()
    shutdown.install()
    with held:
        sys.exit(Supervisor(topology, layout, shutdown, command=partial(processes.command, os.environ)).run())


if __name__ == "__main__":
    main()
