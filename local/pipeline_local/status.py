"""What the supervisor says of itself: one JSON file, replaced whole, read by every command."""

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipeline_local.state_files import set_aside_what_is_no_file

ServiceState = Literal[
    "waiting", "starting", "ready", "unready", "restarting", "failing", "stopping", "stopped", "failed"
]
SupervisorState = Literal["starting", "ready", "degraded", "stopping", "stopped", "failed"]

WRITE_EVERY_S = 10.0
"""Also where nothing changed: a file that was damaged or deleted is there again."""
WRITE_AGAIN_S = 2.0
"""After it could not be written."""

logger = logging.getLogger(__name__)


@dataclass
class ServiceStatus:
    """One service as the supervisor sees it.

    ``seconds_to_ready`` is of its last start; ``failures`` are those in a row; ``reason`` is one line on why it is not
    ready, or was started again; ``retry_at`` (ISO 8601) is its next start; ``waits_for`` holds back its first one.
    """

    state: ServiceState = "waiting"
    pid: int | None = None
    port: int | None = None
    restarts: int = 0
    seconds_to_ready: float | None = None
    failures: int = 0
    reason: str | None = None
    retry_at: str | None = None
    waits_for: list[str] = field(default_factory=list)


@dataclass
class Status:
    """The supervisor, by its process, and its services.

    ``reason`` says why it failed, or what keeps all of them from starting. ``degraded``: nothing is on its way, and
    not all are ready.
    """

    pid: int
    state: SupervisorState = "starting"
    reason: str | None = None
    services: dict[str, ServiceStatus] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Replace the file; a reader sees the old or the new one, never a part.

        Raises:
            OSError: it is as it was.
        """
        draft = file.with_suffix(f".{os.getpid()}.tmp")
        try:
            draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
            draft.replace(file)
        except OSError:
            with suppress(OSError):  # the disk may be gone: the error that is raised says so
                draft.unlink(missing_ok=True)
            raise


class DamagedStatusError(ValueError):
    """The file holds no status: it was cut off, or another program wrote it."""


def read_status(file: Path) -> Status | None:
    """The last status written, or None when nothing was ever started here.

    Raises:
        DamagedStatusError: the file cannot be read. A supervisor that runs writes it again within ``WRITE_EVERY_S``.
    """
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        services = {name: ServiceStatus(**service) for name, service in document.pop("services").items()}
        return Status(**document, services=services)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise DamagedStatusError(f"{file} cannot be read: {error}") from error


class StatusFile:
    """Writes the status where it changed, and now and then where it did not. A disk that is full ends nothing."""

    def __init__(self, file: Path, monotonic: Callable[[], float]) -> None:
        self._file = file
        self._monotonic = monotonic
        self._written: Status | None = None
        self._next_at = 0.0
        self._failed = False

    def update(self, status: Status, *, at_once: bool = False) -> None:
        """Write it if it changed or it is time to. Where that fails, the log says so once, and it is retried."""
        now, document = self._monotonic(), replace(status, services=dict(status.services))
        if not at_once and now < self._next_at and (self._failed or document == self._written):
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            set_aside_what_is_no_file(self._file)
            status.write(self._file)
        except OSError as error:
            if not self._failed:
                logger.warning("status is not written; retrying", extra={"error": str(error)})
            self._failed = True
            self._next_at = now + WRITE_AGAIN_S
        else:
            self._written, self._failed = document, False
            self._next_at = now + WRITE_EVERY_S
