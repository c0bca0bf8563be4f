"""One installation: start it, stop it, look at it, throw its state away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import psutil
from pipeline_contracts.names import Names

from pipeline_local import descendants, keys, locks, preflight, state_folder, toolchain
from pipeline_local.command import end
from pipeline_local.layout import Layout
from pipeline_local.logfiles import tail
from pipeline_local.state_files import set_aside_what_is_no_file
from pipeline_local.status import DamagedStatusError, Status, read_status
from pipeline_local.supervision import disk, troubles
from pipeline_local.supervision.silence import silence
from pipeline_local.topology import Service, Topology, read_topology, read_variables

UP_DEADLINE_S = 300.0
DOWN_DEADLINE_S = 90.0
POLL_S = 0.1
SENDER_DEADLINE_S = 30.0
"""`pipeline send` sees that the services are stopped, and gives its requests in flight 15 s."""
RETRY_DEADLINE_S = 3.0
KILLED = "the supervisor was killed"
SUPERVISOR = (sys.executable, "-m", "pipeline_local.supervisor")

Progress = Callable[[str], None]


class InstallationError(RuntimeError):
    """Something stands in the way; the message says what, where and what to do."""


@dataclass(frozen=True)
class Up:
    """What became of ``Installation.up``: whether it started anything; a line for each service that is not ready."""

    started: bool
    not_ready: list[str]


@dataclass(frozen=True)
class Installation:
    """The state folder of one checkout and the services that run on it.

    ``environment`` overrules ``.env`` and is what children inherit from; by default the shell's.
    """

    layout: Layout
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of ``.env``, those of the environment before them; no public key where there are own ones.

        Raises:
            InstallationError: the file of keys is damaged.
        """
        try:
            return keys.private(read_variables(self.layout.root / ".env", self.environment), self.layout.keys_file)
        except keys.KeysError as error:
            raise InstallationError(str(error)) from error

    @property
    def topology(self) -> Topology:
        """The services of ``compose.yaml``."""
        return _topology(self.layout.root / "compose.yaml", tuple(self.variables.items()))

    @property
    def names(self) -> Names:
        """Topics, bucket and tables of this deployment."""
        return Names(self.variables["PIPELINE_ID"])

    def has(self, name: str) -> bool:
        """Whether a service is part of this installation."""
        return name in self.topology.services

    def service(self, name: str) -> Service:
        """One service, with loopback addresses."""
        return self.topology[name]

    @property
    def status(self) -> Status | None:
        """What runs; None when nothing was ever started here. A supervisor that was killed counts as stopped."""
        runs = self.runs
        try:
            status = read_status(self.layout.status_file)
        except DamagedStatusError as error:
            return Status(0, "failed", f"{error}; a supervisor that runs writes it again within 10 s")
        if status is not None and not runs and status.state not in {"stopped", "failed"}:
            status.state = "failed"
            status.reason = KILLED
        if status is not None and runs:
            home = self.layout.home
            status.reason = disk.full(home) or silence(self.layout.status_file, home) or status.reason
        return status

    @property
    def is_stopped(self) -> bool:
        """Whether the services were or are being stopped; False if the supervisor was killed."""
        status = self.status
        return status is not None and status.state in {"stopping", "stopped"}

    @property
    def why_not_running(self) -> str:
        """In one line, what to do where ``runs`` is false."""
        status = self.status
        if status is None or status.reason is None:
            return "nothing is running; start it with `pipeline up`"
        return f"nothing is running ({status.reason}); start it with `pipeline up`"

    @property
    def runs(self) -> bool:
        """Whether a supervisor looks after this installation now."""
        return locks.is_held(self.layout.supervisor_lock)

    def up(self, progress: Progress) -> Up:
        """Set up what is missing, start everything, and block until all that comes by itself is ready (300 s at most).

        A service that is not ready is named in the result; the others run. Blocks, too, while another ``up`` of this
        installation is at work.

        Raises:
            InstallationError: a port, memory or disk is missing, the state is of another version, or the supervisor
                ended; with the reason. Nothing is left of what was started.
            toolchain.SetupError: the set-up failed.
        """
        self.claim()
        with locks.held(self.layout.up_lock, lambda: progress("another `pipeline up` is at work; waiting for it")):
            if self.runs:
                self._try_what_failed_now()
                return Up(started=False, not_ready=self._await_settled(lambda: not self.runs, lambda _: None))
            return Up(started=True, not_ready=self._start(progress))

    def _start(self, progress: Progress) -> list[str]:
        try:
            keys.make(self.layout.keys_file)
        except keys.KeysError as error:
            raise InstallationError(str(error)) from error
        if left := descendants.kill(f"{self.layout.home}/"):
            progress(f"ended {left} processes that an earlier run had left behind")
        found = preflight.problems(self.topology, self.layout.home, set_up=not toolchain.missing(self.layout))
        if found:
            raise InstallationError("\n".join(found))
        toolchain.install(self.layout, progress)
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        set_aside_what_is_no_file(self.layout.status_file)
        self.layout.status_file.unlink(missing_ok=True)
        own = {"PIPELINE_HOME": str(self.layout.home), descendants.MARKER: self.layout.supervisor_owner}
        own |= {name: self.variables[name] for name in keys.NAMES if name in self.variables}
        with self._supervisor_log.open("ab") as log:
            supervisor = subprocess.Popen(
                SUPERVISOR,
                env={**self.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return self._await_settled(lambda: supervisor.poll() is not None, progress)
        except BaseException:
            # Also on Ctrl-C: nothing half-started stays behind.
            self._end(supervisor)
            raise

    def _try_what_failed_now(self) -> None:
        """Have the supervisor retry what failed now, not after its pause. Blocks until it has begun, 3 s at most."""
        before = self._known_status()
        if before is None or not any(service.failures for service in before.services.values()):
            return
        for supervisor in descendants.of(self.layout.supervisor_owner):
            with suppress(psutil.NoSuchProcess):
                supervisor.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + RETRY_DEADLINE_S
        while self._known_status() == before and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def down(self, progress: Progress) -> bool:
        """Stop everything and block until no process is left; False when nothing ran.

        A supervisor that does not end within 90 s is killed, with all that it started.

        Raises:
            TimeoutError: a process is still there 10 s after it was killed.
        """
        supervisors = descendants.of(self.layout.supervisor_owner)
        if supervisors and self.is_sending:
            progress("a `pipeline send` is running and ends as well; after `pipeline up` the same command resumes it")
        for process in supervisors:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(supervisors, timeout=DOWN_DEADLINE_S)
        for process in left:
            progress(
                f"the supervisor (process {process.pid}) did not end within {DOWN_DEADLINE_S:.0f} s and is "
                f"killed, with all that it started; its log: {self._supervisor_log}"
            )
        return descendants.kill(f"{self.layout.home}/") > 0 or bool(supervisors)

    def reset(self, progress: Progress) -> None:
        """Stop everything and delete all state. What was downloaded stays.

        Raises:
            InstallationError: the folder is not ours, or a file in it cannot be deleted; a folder that is not ours
                stays as it is. Or an emitter writes its ledger, and did not end within 30 s: nothing is deleted.
        """
        self.check_is_ours()
        self.down(progress)
        self._await_no_sender()
        try:
            state_folder.delete(self.layout.home)
        except state_folder.StateFolderError as error:
            raise InstallationError(str(error)) from error

    def check_is_ours(self) -> None:
        """See that ``reset`` may delete the folder.

        Raises:
            InstallationError: it is no state folder, or holds other files, too.
        """
        try:
            state_folder.check_is_ours(self.layout.home)
        except state_folder.StateFolderError as error:
            raise InstallationError(str(error)) from error

    def claim(self) -> None:
        """Make the state folder, readable by its owner alone, or see that it is ours.

        Raises:
            InstallationError: it holds somebody else's files or state of another version, or cannot be made.
        """
        try:
            state_folder.claim(self.layout.home)
        except state_folder.StateFolderError as error:
            raise InstallationError(str(error)) from error

    @property
    def is_sending(self) -> bool:
        """Whether an emitter writes the ledger now: it holds the lock beside it."""
        return locks.is_held(self.layout.ledger.with_name(f"{self.layout.ledger.name}.lock"))

    def _await_no_sender(self) -> None:
        deadline = time.monotonic() + SENDER_DEADLINE_S
        while self.is_sending:
            if time.monotonic() >= deadline:
                raise InstallationError(
                    f"an emitter still writes {self.layout.ledger}: end it (Ctrl-C where it runs), then reset again"
                )
            time.sleep(POLL_S)

    def log_tail(self, name: str, lines: int) -> str:
        """The last lines of one service's log, or of ``supervisor``."""
        return tail(self.layout.logs / f"{name}.log", lines)

    def _await_settled(self, ended: Callable[[], bool], progress: Progress) -> list[str]:
        """Block until nothing is on its way any more; a line for each service that is not ready."""
        deadline = time.monotonic() + UP_DEADLINE_S
        told: set[str] = set()
        while time.monotonic() < deadline:
            over = ended()
            status = self._known_status()
            for name, service in status.services.items() if status else ():
                if service.state == "ready" and name not in told:
                    told.add(name)
                    progress(f"{name} is ready after {service.seconds_to_ready} s")
            if status and status.state in {"ready", "degraded"} and troubles.is_settled(status):
                return troubles.not_ready(status)
            if over:
                reason = (status and status.reason) or self.log_tail("supervisor", 10)
                raise InstallationError(f"not started: {reason}")
            time.sleep(POLL_S)
        status = self._known_status()
        late = troubles.not_ready(status) if status else [f"see {self._supervisor_log}"]
        return [f"not ready within {UP_DEADLINE_S:.0f} s:", *late]

    def _known_status(self) -> Status | None:
        """What the supervisor says; None while it says nothing that can be read: it writes it again."""
        try:
            return read_status(self.layout.status_file)
        except DamagedStatusError:
            return None

    def _end(self, supervisor: subprocess.Popen[bytes]) -> None:
        end([supervisor], DOWN_DEADLINE_S)
        if not self.runs:  # another one may have been quicker, and its services are not ours
            descendants.kill(f"{self.layout.home}/")

    @property
    def _supervisor_log(self) -> Path:
        return self.layout.logs / "supervisor.log"


@lru_cache(maxsize=8)
def _topology(compose_file: Path, variables: tuple[tuple[str, str], ...]) -> Topology:
    return read_topology(compose_file, dict(variables))
