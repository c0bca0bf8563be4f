"""The file beside a ledger that keeps other processes out, and remembers that there is a ledger."""

import fcntl
import os
from pathlib import Path
from typing import Final

from emitter.errors import LedgerError

_MADE: Final = b" made"
_HOLDER_BYTES: Final = 20


def lock_of(ledger: Path) -> Path:
    """The lock's file. It is made before the ledger, and stays."""
    return ledger.with_name(ledger.name + ".lock")


class LedgerLock:
    """Keeps other processes out until it is released, be it by the process' end. Blocks on the disk alone.

    The file holds the process number of the last holder, and behind it, once there was a ledger, a word that says so.
    It is written in place, so that a full disk takes nothing away.

    Raises:
        LedgerError: another process holds it; it cannot be made; or the ledger was deleted or emptied: a new one in its
            place would make the audit blind to what the old one knew.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        try:
            ledger.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(lock_of(ledger), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._cannot(error) from error
        try:
            self._take()
        except LedgerError:
            self.release()
            raise

    def note_made(self) -> None:
        """There is a ledger from now on."""
        self._write(_MADE, _HOLDER_BYTES)

    def release(self) -> None:
        """Let other processes in."""
        os.close(self._descriptor)

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, _HOLDER_BYTES, 0).decode(errors="replace").strip() or "unknown"
            msg = (
                f"the ledger {self._ledger} is in use by process {holder}: wait for it, or set EMITTER_LEDGER to "
                "another file"
            )
            raise LedgerError(msg) from error
        if os.pread(self._descriptor, len(_MADE), _HOLDER_BYTES) == _MADE and not _has_bytes(self._ledger):
            msg = (
                f"the ledger {self._ledger} was deleted or emptied: put a copy of it back, or delete "
                f"{lock_of(self._ledger)} to begin a new one; the audit can then no longer compare what the old one "
                "knew as acknowledged"
            )
            raise LedgerError(msg)
        self._write(str(os.getpid()).encode().ljust(_HOLDER_BYTES), 0)

    def _write(self, data: bytes, at: int) -> None:
        try:
            os.pwrite(self._descriptor, data, at)
        except OSError as error:
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"cannot make the ledger {self._ledger}: {error.strerror}; set EMITTER_LEDGER to a file that can be written"
        )


def _has_bytes(ledger: Path) -> bool:
    try:
        return ledger.stat().st_size > 0
    except FileNotFoundError:
        return False
