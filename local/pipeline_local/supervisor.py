"""Keeps the services running: starts them in order, restarts what fails, ends all of them together.

``python -m pipeline_local.supervisor`` is what ``pipeline up`` leaves behind. It holds the installation's lock,
writes ``status.json`` at every change, and ends on SIGTERM or SIGINT. What becomes of a service that fails is
``supervision.lifecycle``'s to say: it is retried for as long as this runs, and the others run on. A disk that is
full is waited for. An error of the loop's own ends everything: no child runs on unwatched.
"""

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from service_kit.clock import Clock, SystemClock
from service_kit.logs import configure_logging
from service_kit.shutdown import Shutdown

from pipeline_local import locks, processes
from pipeline_local.command import Command
from pipeline_local.layout import Layout
from pipeline_local.logfiles import rotate
from pipeline_local.preflight import raised_file_limit
from pipeline_local.status import Status, StatusFile
from pipeline_local.supervision import disk
from pipeline_local.supervision.child import Child, Process
from pipeline_local.supervision.lifecycle import Health, Lifecycle, Limits
from pipeline_local.supervision.probes import probe as real_probe
from pipeline_local.supervision.service_process import ServiceProcess
from pipeline_local.supervision.troubles import is_settled
from pipeline_local.topology import Service, Topology, read_topology, read_variables

POLL_S = 0.2
LOOK_AT_DISK_S = 2.0
LOCK_PATIENCE_S = 2.0
"""A look at the lock holds it for a moment."""
ROTATE_EVERY_S = 2.0
ROTATE_AGAIN_S = 60.0
"""After a log could not be rotated."""

logger = logging.getLogger(__name__)


class Supervisor:
    """Runs the long-running services of one topology until asked to stop.

    ``home`` marks the processes, holds ``status.json`` and the folder ``logs``. ``command`` and ``probe`` say how
    a service runs and how it is; ``free_bytes`` how much space a folder's disk has; ``process`` makes one that logs
    to a file under a mark; ``looks`` runs the probes. Set, ``retry`` makes what failed start now.
    """

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        shutdown: Shutdown,
        *,
        command: Callable[[Layout, Service], Command],
        probe: Callable[[Service], Callable[[], Health]] = real_probe,
        free_bytes: Callable[[Path], int] = disk.free_bytes,
        limits: Limits | None = None,
        clock: Clock | None = None,
        process: Callable[[Path, str], Process] = ServiceProcess,
        looks: Executor | None = None,
        retry: threading.Event | None = None,
    ) -> None:
        self._layout = layout
        self._shutdown = shutdown
        self._retry = retry or threading.Event()
        self._limits = limits or Limits()
        self._monotonic = (clock or SystemClock()).monotonic
        self._free_bytes = free_bytes
        self._disk = disk.Disk(layout.home)
        self._disk_is_unknown = False
        self._look_at_disk_at = self._rotate_at = 0.0
        self._status = Status(os.getpid())
        self._file = StatusFile(layout.status_file, self._monotonic)
        # A thread for each: a service that hangs holds up no look at another.
        threads = max(1, len(topology.long_running))
        self._looks = looks or ThreadPoolExecutor(max_workers=threads, thread_name_prefix="look")
        self._children = {
            service.name: Child(
                name=service.name,
                port=service.port,
                needs=service.waits_for,
                life=Lifecycle(self._limits),
                process=process(layout.logs / f"{service.name}.log", f"{layout.home}/{service.name}:"),
                command=partial(command, layout, service),
                probe=probe(service),
                looks=self._looks,
            )
            for service in topology.long_running
        }

    def run(self) -> int:
        """Run until asked to stop: returns 0. Returns 1 where it failed itself; either way all services are ended."""
        try:
            while not self._shutdown.requested:
                self._step()
                self._shutdown.wait(POLL_S)
        except Exception as error:
            logger.exception("supervisor failed")
            self._status.reason = f"the supervisor failed: {error!r}; see `pipeline logs supervisor`"
        else:
            self._status.reason = None
        finally:
            self._stop_all()
        self._status.state = "failed" if self._status.reason else "stopped"
        self._tell(at_once=True)
        return 1 if self._status.reason else 0

    def _step(self) -> None:
        now = self._monotonic()
        self._look_at_disk(now)
        if self._retry.is_set():
            self._retry.clear()
            self._try_now(now)
        has_space = self._status.reason is None
        for child in self._children.values():
            child.waits_for = [name for name in child.needs if self._children[name].life.state != "ready"]
            child.look_after(self._monotonic(), has_space=has_space)
        self._rotate(now)
        self._tell()

    def _try_now(self, now: float) -> None:
        for child in self._children.values():
            child.life.try_now(now)

    def _look_at_disk(self, now: float) -> None:
        if now < self._look_at_disk_at:
            return
        self._look_at_disk_at = now + LOOK_AT_DISK_S
        was = self._status.reason
        try:
            free = self._free_bytes(self._layout.home)
        except OSError as error:
            if not self._disk_is_unknown:
                logger.warning("disk cannot be looked at", extra={"error": str(error)})
            self._disk_is_unknown = True
            return
        self._disk_is_unknown = False
        self._status.reason = self._disk.problem(free)
        if self._status.reason and not was:
            logger.warning("disk is full", extra={"problem": self._status.reason})
        if was and not self._status.reason:
            logger.info("disk has space again")
            self._try_now(now)

    def _tell(self, *, at_once: bool = False) -> None:
        now = self._monotonic()
        self._status.services = {name: child.status(now) for name, child in self._children.items()}
        if self._status.state in {"starting", "ready", "degraded"}:
            if all(service.state == "ready" for service in self._status.services.values()):
                self._status.state = "ready"
            elif self._status.state != "starting" or is_settled(self._status):
                self._status.state = "degraded"
        self._file.update(self._status, at_once=at_once)

    def _stop_all(self) -> None:
        self._status.state = "stopping"
        self._tell(at_once=True)
        self._looks.shutdown(wait=False, cancel_futures=True)
        running = [child for child in reversed(self._children.values()) if child.life.runs]
        # Who reads goes before who serves: in the reverse order of starting, each level awaited.
        while running:
            needed = {name for child in running for name in child.needs}
            leaves = [child for child in running if child.name not in needed]
            for child in leaves:
                child.process.terminate()
            asked = self._monotonic()
            for child in leaves:
                child.process.wait(max(0.1, asked + self._limits.stop_s - self._monotonic()))
                if child.end():
                    seconds = round(self._monotonic() - asked, 2)
                    logger.info("service stopped", extra={"stopped": child.name, "seconds": seconds})
                self._tell(at_once=True)
            running = [child for child in running if child not in leaves]
        for child in self._children.values():
            if child.life.state not in {"stopped", "failed"}:
                child.life.ended(is_gone=True)

    def _rotate(self, now: float) -> None:
        if now < self._rotate_at:
            return
        self._rotate_at = now + ROTATE_EVERY_S
        for file in (*(child.process.log for child in self._children.values()), self._layout.logs / "supervisor.log"):
            try:
                rotate(file)
            except OSError as error:
                self._rotate_at = now + ROTATE_AGAIN_S
                logger.warning("log is not rotated", extra={"file": file.name, "error": str(error)})


def retry_on_signal() -> threading.Event:
    """An event that SIGUSR1 sets. Call before the lock is taken: who sees it held may send the signal."""
    event = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: event.set())
    return event


def main() -> None:
    """Composition root of the supervisor process."""
    configure_logging("supervisor")
    layout = Layout.of_checkout()
    retry = retry_on_signal()
    held = locks.take(layout.supervisor_lock, LOCK_PATIENCE_S)
    if held is None:
        logger.error("another supervisor runs this installation", extra={"home": str(layout.home)})
        sys.exit(4)
    resource.setrlimit(resource.RLIMIT_NOFILE, raised_file_limit())
    variables: Mapping[str, str] = read_variables(layout.root / ".env", os.environ)
    topology = read_topology(layout.root / "compose.yaml", variables)
    shutdown = Shutdown()
    shutdown.install()
    with held:
        command = partial(processes.command, os.environ)
        sys.exit(Supervisor(topology, layout, shutdown, command=command, retry=retry).run())


if __name__ == "__main__":
    main()
