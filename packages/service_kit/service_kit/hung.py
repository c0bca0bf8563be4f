"""Ends a container whose service hangs, from its health check: Docker restarts what ends, not what is unhealthy.

A supervisor of plain processes kills what hangs by itself; this is for containers alone, and does nothing where
process 1 is not Docker's init (``init: true``), which ends with the one process that it started.
"""

import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service_kit.logs import JsonFormatter

START_S: Final = 180.0
"""How long a service that has not answered yet may take, at least."""
_FEWEST: Final = 3
"""So many checks in a row at least found nothing: one that comes late, after a pause of the machine, says little."""


@dataclass(frozen=True)
class Silence:
    """What is known between two health checks: whether the service ever answered, and since when it does not."""

    has_answered: bool = False
    checks: int = 0
    since: float = 0.0

    def answered(self) -> "Silence":
        """It answered: ready or not, it does not hang."""
        return Silence(has_answered=True)

    def silent(self, now: float) -> "Silence":
        """It did not answer at all."""
        return Silence(self.has_answered, self.checks + 1, self.since if self.checks else now)

    def hangs(self, now: float, limit_s: float) -> bool:
        """Whether it has been silent for too long."""
        limit = limit_s if self.has_answered else max(limit_s, START_S)
        return self.checks >= _FEWEST and now - self.since >= limit


def note(file: Path, now: float, *, answered: bool, limit_s: float) -> str | None:
    """Note one health check in a file that lives as long as the container; end a service that hangs.

    ``now`` in monotonic seconds, which are the same for all processes of a machine. Returns a line that says what was
    done, for the output of the check; None while there is nothing to do.
    """
    before = _read(file)
    after = before.answered() if answered else before.silent(now)
    if after != before:
        _write(file, after)
    if not after.hangs(now, limit_s):
        return None
    process = main_process()
    if process is None:
        return "it hangs, and cannot be ended from here: process 1 is not Docker's init"
    line = f"the service has not answered for {now - after.since:.0f} s: it is killed, so that Docker restarts it"
    _log(line)
    os.kill(process, signal.SIGKILL)
    return line


def main_process(proc: Path = Path("/proc")) -> int | None:
    """The process that Docker's init has started; None where process 1 is anything else."""
    if (proc / "1" / "comm").read_text(encoding="utf-8").strip() != "docker-init":
        return None
    children = [int(folder.name) for folder in proc.iterdir() if folder.name.isdecimal() and _parent(folder) == 1]
    # Orphans are its children, too, and came later.
    return min(children, default=None)


def _parent(folder: Path) -> int | None:
    try:
        stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # it ended meanwhile
    return int(stat.rpartition(")")[2].split()[1])


def _read(file: Path) -> Silence:
    try:
        return Silence(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Silence()  # the first check, or a file that was torn: it is counted anew


def _write(file: Path, silence: Silence) -> None:
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(json.dumps(vars(silence)), encoding="utf-8")
    draft.replace(file)


def _log(line: str) -> None:
    """Into the container's log, where this user may write to it; the check's output has the line, too."""
    record = logging.LogRecord(__name__, logging.ERROR, __file__, 0, line, None, None)
    try:
        with Path("/proc/1/fd/1").open("w", encoding="utf-8") as log:
            log.write(JsonFormatter("health").format(record) + "\n")
    except OSError as error:
        sys.stdout.write(f"not in the container's log: {error}\n")
