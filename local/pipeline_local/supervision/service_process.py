"""One service as a process of this machine: started, asked to end, ended with all that it started; its log."""

import logging
import signal
import subprocess
from pathlib import Path

from pipeline_local import descendants
from pipeline_local.command import Command
from pipeline_local.supervision.last_words import last_words

_READ_BYTES = 256 * 1024

logger = logging.getLogger(__name__)


class ServiceProcess:
    """At most one process at a time. ``owner`` marks it and all that it starts; ``log`` takes what they print."""

    def __init__(self, log: Path, owner: str) -> None:
        self.log = log
        self._owner = owner
        self._process: subprocess.Popen[bytes] | None = None
        self._log_began = 0

    @property
    def pid(self) -> int | None:
        """None if it does not run."""
        return None if self._process is None else self._process.pid

    def start(self, command: Command) -> None:
        """Start it in a session of its own.

        Raises:
            OSError: it cannot be started, or its log cannot be opened.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_began = log.tell()
            self._process = subprocess.Popen(
                command.argv,
                env={**command.env, descendants.MARKER: self._owner},
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """None while it runs, and if there is no process."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Ask it to end; returns at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Block until it has ended, or for that long."""
        if self._process is not None:
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                logger.warning("service did not end in time and is killed", extra={"pid": self._process.pid})

    def kill(self) -> None:
        """kill -9 what is left of it and of all that it started; blocks until they are gone.

        Raises:
            TimeoutError: one is still there after 10 s.
        """
        descendants.kill(self._owner)
        if self._process is not None:
            self._process.kill()
            self._process.wait(descendants.END_DEADLINE_S)
        self._process = None

    def last_words(self) -> str | None:
        """The last error in its log since its start, in one line; None if there is none, or the log cannot be read."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, 2)
                began = self._log_began if self._log_began <= size else 0  # it was rotated meanwhile
                log.seek(max(began, size - _READ_BYTES))
                return last_words(log.read().decode("utf-8", "replace"))
        except OSError:
            return None


def ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
