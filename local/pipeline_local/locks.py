"""Locks between the commands of one machine. The system gives one back when its holder ends, however it ends."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline_local.state_files import set_aside_what_is_no_file

POLL_S = 0.02


class LockError(RuntimeError):
    """A lock cannot be opened, so that nobody knows whether it is held."""


def take(file: Path, patience_s: float = 0.0) -> IO[str] | None:
    """Hold the lock for as long as the result stays open; None when another process holds it for all of ``patience_s``.

    ``is_held`` holds it for a moment: give more patience than that where None ends everything.

    Raises:
        LockError: the file cannot be opened, as where it is another user's.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    stream = _opened(file, "w")
    deadline = time.monotonic() + patience_s
    while not _try(stream, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            stream.close()
            return None
        time.sleep(POLL_S)
    return stream


@contextmanager
def held(file: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock. Blocks until its holder gives it back; ``on_wait`` is called once where that takes a while."""
    stream = take(file)
    if stream is None:
        on_wait()
    while stream is None:
        stream = take(file, patience_s=1.0)
    with stream:
        yield


def is_held(file: Path) -> bool:
    """Whether a process holds the lock now.

    Raises:
        LockError: the file cannot be opened.
    """
    try:
        stream = _opened(file, "r")
    except FileNotFoundError:
        return False
    with stream:
        return not _try(stream, fcntl.LOCK_SH)


def _opened(file: Path, mode: str) -> IO[str]:
    try:
        set_aside_what_is_no_file(file)
        return file.open(mode, encoding="utf-8")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LockError(f"the lock {file} cannot be opened ({error}): give it to the user who runs this") from error


def _try(stream: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
