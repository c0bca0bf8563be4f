"""One writing process per part of a lake.

Delta on a local disk is safe for one writer alone: two that commit at once can both believe to have won.
The fence is an exclusive lock on a file, which the kernel lets go when its holders are dead, however they
died. A writer's JVM inherits the lock (``build_session(…, inherit=fence.inheritable)``), because it may
still be finishing a commit for a moment after its Python process was killed.
"""

import fcntl
import json
import logging
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

logger = logging.getLogger(__name__)

LOCKS = ".locks"
_POLL_S = 0.1


class FencedError(RuntimeError):
    """Another process writes here already; the message names it."""


@dataclass(frozen=True)
class Holder:
    """Who holds a fence, as it wrote itself down."""

    pid: int
    service: str
    started_at: str


class Fence:
    """A held fence; ``release`` it, or use it as a context manager. It holds nothing for a lake in an object store."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def inheritable(self) -> tuple[int, ...]:
        """File descriptors for child processes that write on this process' behalf."""
        return () if self._descriptor is None else (self._descriptor,)

    def release(self) -> None:
        """Let the next writer in, as soon as those who inherited the fence are gone. Harmless when repeated."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def hold_fence(lake_uri: str, *, service: str, area: str, wait_s: float = 0.0) -> Fence:
    """Become the one writer of ``area`` (such as ``batch``: bronze, silver, gold), or fail.

    Waits at most ``wait_s`` for a holder to go, which a restarted service wants: its predecessor's JVM needs a
    moment to end. A lake that is not in local files is not fenced; a log line says so.

    Raises:
        FencedError: somebody else holds it and did not go in time.
    """
    folder = local_folder(lake_uri)
    if folder is None:
        logger.info("lake is not fenced: it is not in local files", extra={"lake_uri": lake_uri, "area": area})
        return Fence(None)
    path = folder / LOCKS / f"{area}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    give_up = time.monotonic() + wait_s
    while not _try_lock(descriptor):
        if time.monotonic() >= give_up:
            os.close(descriptor)
            raise FencedError(_occupied(path, area, lake_uri))
        time.sleep(_POLL_S)
    holder = {"pid": os.getpid(), "service": service, "started_at": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    return Fence(descriptor)


def read_holder(path: Path) -> Holder | None:
    """Who wrote itself into a lock file last; None where nothing readable stands in it."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def local_folder(lake_uri: str) -> Path | None:
    """The folder of a ``file:`` URI or plain path; None for an object store."""
    parts = urlsplit(lake_uri)
    if parts.scheme not in {"", "file"}:
        return None
    return Path(unquote(parts.path)) if parts.scheme else Path(lake_uri)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _occupied(path: Path, area: str, lake_uri: str) -> str:
    holder = read_holder(path)
    who = f"{holder.service} (pid {holder.pid}, since {holder.started_at})" if holder else "another process"
    return (
        f"{who} writes the part '{area}' of the lake {lake_uri} already, or its JVM is still ending; "
        f"a lake has one writer: stop that one, or use another LAKE_URI (lock file: {path})"
    )
