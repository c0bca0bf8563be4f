"""A process of a service that a test steers, with the interface of ``ServiceProcess``."""

import itertools
from pathlib import Path

from pipeline_local.command import Command
from pipeline_local.supervision.last_words import last_words

_pids = itertools.count(1000)


class FakeProcess:
    """Runs until it is told to end, if its program is there; ``immortal``, it cannot be killed."""

    def __init__(self, log: Path, owner: str) -> None:
        self.log = log
        self.owner = owner
        self.immortal = False
        self._pid: int | None = None
        self._code: int | None = None
        self._said = ""

    @property
    def pid(self) -> int | None:
        """Also of one that has ended, until ``kill``."""
        return self._pid

    @property
    def is_alive(self) -> bool:
        """Whether it was started, and has not ended."""
        return self._pid is not None and self._code is None

    def start(self, command: Command) -> None:
        """Begins another life, in which it has said nothing yet."""
        if not Path(command.argv[0]).exists():
            raise FileNotFoundError(f"no such program: {command.argv[0]}")
        self._pid, self._code, self._said = next(_pids), None, ""

    def exit_code(self) -> int | None:
        """What ``ends`` gave."""
        return self._code

    def says(self, line: str) -> None:
        """It prints a line."""
        self._said += f"{line}\n"

    def ends(self, code: int) -> None:
        """It ends by itself, or somebody kills it."""
        if self.is_alive:
            self._code = code

    def terminate(self) -> None:
        """It obeys."""
        self.ends(-15)

    def wait(self, seconds: float) -> None:
        """It has ended, or does not end: either way there is nothing to wait for."""

    def kill(self) -> None:
        """Nothing is left of it."""
        if self.immortal and self._pid is not None:
            raise TimeoutError(f"these processes do not end: [{self._pid}]")
        self._pid = self._code = None

    def last_words(self) -> str | None:
        """Of this life."""
        return last_words(self._said)
