"""What the supervisor says of itself: one JSON file, replaced whole, read by every command."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

ServiceState = Literal["waiting", "starting", "ready", "unready", "restarting", "stopping", "stopped", "failed"]
SupervisorState = Literal["starting", "ready", "stopping", "stopped", "failed"]


@dataclass
class ServiceStatus:
    """One service as the supervisor sees it. ``seconds_to_ready`` is of its last start."""

    state: ServiceState = "waiting"
    pid: int | None = None
    port: int | None = None
    restarts: int = 0
    seconds_to_ready: float | None = None


@dataclass
class Status:
    """The supervisor, by its process, and its services. ``reason`` says why it failed."""

    pid: int
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
    services = {name: ServiceStatus(**service) for name, service in document.pop("services").items()}
    return Status(**document, services=services)
