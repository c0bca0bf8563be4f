"""One supervised service: its lifecycle, its process, and health checks that delay no other service."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from pipeline_local.command import Command
from pipeline_local.status import ServiceStatus
from pipeline_local.supervision.last_words import shown
from pipeline_local.supervision.lifecycle import Health, Lifecycle
from pipeline_local.supervision.service_process import ending

LOOK_AGAIN_S = 0.2
LOOK_AT_READY_S = 2.0
TRY_AGAIN_S = 10.0
"""Pause after the supervisor could not manage a service, for example not kill its process."""

logger = logging.getLogger(__name__)


class Process(Protocol):
    """What the supervisor needs of a process; ``ServiceProcess`` is the real one."""

    log: Path

    @property
    def pid(self) -> int | None:
        """None if it does not run."""

    def start(self, command: Command) -> None:
        """Start it; raises ``OSError``."""

    def exit_code(self) -> int | None:
        """None while it runs, and if there is no process."""

    def terminate(self) -> None:
        """Ask it to end; returns at once."""

    def wait(self, seconds: float) -> None:
        """Block until it has ended, or for that long."""

    def kill(self) -> None:
        """Kill what is left, and block until it has ended; raises ``TimeoutError`` if it does not end."""

    def last_words(self) -> str | None:
        """The last error in its log, in one line."""


@dataclass
class Child:
    """One service. ``command`` and ``probe`` may raise anything: only this service fails then."""

    name: str
    port: int | None
    needs: Sequence[str]
    life: Lifecycle
    process: Process
    command: Callable[[], Command]
    probe: Callable[[], Health]
    looks: Executor
    waits_for: Sequence[str] = ()
    """The services it needs that are not ready now."""
    _look: Future[Health] | None = field(default=None, init=False)
    _look_at: float = field(default=0.0, init=False)
    _leave_until: float = field(default=0.0, init=False)
    _defect: str | None = field(default=None, init=False)
    _retry: tuple[float, str] | None = field(default=None, init=False)

    def look_after(self, now: float, *, has_space: bool) -> None:
        """Do what is due. Blocks while its command is prepared, and while what is left of it is killed."""
        if now < self._leave_until:
            return
        try:
            self._step(now, has_space=has_space)
        except Exception as error:  # the frame that keeps a defect, or a process that cannot be killed, to one service
            self._leave_until = now + TRY_AGAIN_S
            if self._defect != (said := repr(error)):
                logger.exception("service cannot be looked after", extra={"looked_after": self.name})
            self._defect = said
            self.life.cannot_be_managed(f"the supervisor could not manage it: {shown(said)}")
        else:
            self._defect = None

    def _step(self, now: float, *, has_space: bool) -> None:
        if not self.life.runs:
            if self.life.may_start(now, self.waits_for, has_space=has_space):
                self._start(now)
        elif (code := self.process.exit_code()) is not None:
            words = self.process.last_words()
            self._failed(now, f"{ending(code)}; its last words: {words}" if words else ending(code))
        else:
            self._look_at_it(now)

    def _start(self, now: float) -> None:
        try:
            self.process.start(self.command())
        except Exception as error:  # whatever is wrong with its folder or its programs: it is this service's
            logger.exception("service cannot be started", extra={"failed": self.name})
            self.life.failed(now, f"it cannot be started: {shown(str(error) or repr(error))}")
            return
        self.life.started(now)
        self._look, self._look_at = None, now + LOOK_AGAIN_S
        logger.info("service started", extra={"started": self.name, "pid": self.process.pid})

    def _look_at_it(self, now: float) -> None:
        if self._look is None:
            if now >= self._look_at:
                self._look = self.looks.submit(self.probe)
            return
        if not self._look.done():
            return
        look, self._look = self._look, None
        was = self.life.state
        kill_for = self.life.seen(now, self._found(look))
        if self.life.state != was:
            logger.info("service changed", extra={"changed": self.name, "state": self.life.state})
        if kill_for is not None:
            self._failed(now, kill_for)
            return
        self._look_at = now + (LOOK_AT_READY_S if self.life.state == "ready" else LOOK_AGAIN_S)

    def _found(self, look: "Future[Health]") -> Health:
        error = look.exception()
        if error is None:
            return look.result()
        return Health(live=True, ready=False, said=f"its health cannot be read: {shown(repr(error))}")

    def _failed(self, now: float, reason: str) -> None:
        # All that it started first: what is left would hold its port and its files.
        self.process.kill()
        self._look = None
        self.life.failed(now, reason)
        logger.warning("service failed", extra={"failed": self.name, "reason": reason, "in_a_row": self.life.failures})

    def end(self) -> bool:
        """Kill what is left of it. False, with an error in the log, if a process does not end."""
        try:
            self.process.kill()
        except Exception:  # the others must be ended, too
            self.life.ended(is_gone=False)
            logger.exception("service cannot be stopped", extra={"stopped": self.name})
        else:
            self.life.ended(is_gone=True)
        return self.life.state == "stopped"

    def status(self, now: float) -> ServiceStatus:
        """As commands see it."""
        life = self.life
        return ServiceStatus(
            state=life.state,
            pid=self.process.pid,
            port=self.port,
            restarts=max(0, life.starts - 1),
            seconds_to_ready=life.seconds_to_ready,
            failures=life.failures,
            reason=life.reason,
            retry_at=self._retry_at(now),
            waits_for=list(self.waits_for) if life.state == "waiting" else [],
        )

    def _retry_at(self, now: float) -> str | None:
        life = self.life
        if life.runs or life.state not in {"restarting", "failing"}:
            return None
        if self._retry is None or self._retry[0] != life.next_start_at:
            # Told once: recomputed each time, it would move by a second now and then.
            at = datetime.now(UTC) + timedelta(seconds=life.next_start_at - now)
            self._retry = (life.next_start_at, at.isoformat(timespec="seconds"))
        return self._retry[1]
