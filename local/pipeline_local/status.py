"""What the supervisor says of itself: one JSON file, replaced whole, read by every command."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

ServiceState = Literal["waiting", "starting", "ready", "unready", "restarting", "stopping", "stopped", "failed"]
SupervisorState = Literal["starting", "ready", "stopping", "stopped", "failed"]


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one with the same number by its start time."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The running process of this number.

        Raises:
            psutil.NoSuchProcess: there is none.
        """
        return cls(pid, psutil.Process(pid).create_time())

    @property
    def running(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass
class ServiceStatus:
    """One service as the supervisor sees it. ``seconds_to_ready`` is of its last start."""

    state: ServiceState = "waiting"
    process: ProcessId | None = None
    port: int | None = None
    restarts: int = 0
    seconds_to_ready: float | None = None


@dataclass
class Status:
    """The supervisor and its services. ``reason`` says why it failed."""

    supervisor: ProcessId
    state: SupervisorState = "starting"
    reason: str | None = None
    services: dict[str, ServiceStatus] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Replace the file; a reader sees the old or the new one, never a part."""
        draft = file.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(file)


def read_status(file: Path) -> Status | None:
    """The last status written, or None when nothing was ever started here."""
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Status(
        ProcessId(**document["supervisor"]),
        document["state"],
        document["reason"],
        {
            name: ServiceStatus(**{**service, "process": service["process"] and ProcessId(**service["process"])})
            for name, service in document["services"].items()
        },
    )
