"""Fetched records in Arrow files, from the process that fetches to the tasks that read. A cache, never the truth.

Each process has a folder of its own and holds a lock on a file beside it as long as it lives, however it ends. Who
starts sweeps the folders whose lock is free.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from kinesis_source.errors import SpoolError

logger = logging.getLogger(__name__)

_MEMORY = Path("/dev/shm")  # noqa: S108 - not a file of a fixed name: a folder that only its owner may enter
_MAX_TRIES = 5


def default_folder(buffer_bytes: int, memory: Path = _MEMORY) -> Path:
    """A folder in memory where the system has one with room, else among its temporary files; one for each user.

    Room is four times the buffer: the batch that is read takes it, what waits for the next one, and answers that were
    under way when it was full. Containers have 64 MB by default.
    """
    root = memory if _has_room(memory, 4 * buffer_bytes) else Path(tempfile.gettempdir())
    return root / f"kinesis-source-{os.getuid()}"


def _has_room(folder: Path, size: int) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= size


class Spool:
    """Files of this process below ``root``; the folder is made at once, with mode 0700.

    Raises:
        SpoolError: the folder cannot be made, or belongs to someone else.
    """

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if root.stat().st_uid != os.getuid():
                raise SpoolError(f"the spool folder {root} belongs to another user; set the option spoolDir")
            sweep(root)
            self.folder, self._lock = _own_folder(root)
        except OSError as error:
            raise SpoolError(f"the spool folder {root} cannot be used: {error}. Set the option spoolDir") from error
        self._closed = False

    def write(self, name: str, batch: pa.RecordBatch) -> str:
        """Write one file; returns its path. One caller at a time for a name.

        Raises:
            SpoolError: no space, or closed.
        """
        path = self.path(name)
        if self._closed:
            raise SpoolError(f"{self.folder} is closed")
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)  # someone may have tidied up
            with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
                writer.write_batch(batch)
        except OSError as error:
            with contextlib.suppress(OSError):  # what is left of it is cut
                self.delete(path)
            raise SpoolError(f"{path} cannot be written: {error}. Make room, or set spoolDir") from error
        return path

    def path(self, name: str) -> str:
        """Where ``write`` puts it."""
        return str(self.folder / f"{name}.arrow")

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone is fine."""
        Path(path).unlink(missing_ok=True)

    def close(self) -> None:
        """Delete all files and let go of the lock; nothing can be written after that."""
        self._closed = True
        shutil.rmtree(self.folder, ignore_errors=True)
        _lock_path(self.folder).unlink(missing_ok=True)
        self._lock.close()


def read(path: str, first_row: int, row_count: int) -> pa.RecordBatch | None:
    """Rows of a spool file, mapped into memory; None if it is gone or cannot be read."""
    try:
        with pa.memory_map(path) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
    except (OSError, pa.ArrowInvalid):
        return None
    return batch.slice(first_row, row_count) if batch.num_rows >= first_row + row_count else None


def sweep(root: Path) -> None:
    """Delete the folders of processes that are dead."""
    for lock_path in root.glob("*.lock"):
        try:
            lock = lock_path.open("rb")
        except FileNotFoundError:
            continue
        with lock:
            if _try_lock(lock):
                shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
                lock_path.unlink(missing_ok=True)
                logger.info("spool of a dead process swept", extra={"folder": str(lock_path.with_suffix(""))})


def _own_folder(root: Path) -> tuple[Path, Any]:
    """Make a lock file and then the folder, so that no folder is ever without a lock."""
    for _ in range(_MAX_TRIES):
        descriptor, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=".lock", dir=root)
        lock, lock_path = os.fdopen(descriptor, "wb"), Path(name)
        if _try_lock(lock) and lock_path.exists() and lock_path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
            folder = lock_path.with_suffix("")
            folder.mkdir(mode=0o700)
            return folder, lock
        # Another process swept it between the two lines above.
        lock.close()
    raise SpoolError(f"no lock of our own in {root} after {_MAX_TRIES} tries")


def _lock_path(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _try_lock(file: Any) -> bool:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
