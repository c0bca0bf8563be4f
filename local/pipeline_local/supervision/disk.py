"""Whether the disk of the state folder has space; without it no service can start, and those that write fail."""

import shutil
from pathlib import Path

MIB = 1024**2
FULL_BYTES = 64 * MIB
SPACE_BYTES = 128 * MIB
"""More than ``FULL_BYTES``, so that it is not full again at once."""


def free_bytes(folder: Path) -> int:
    """What this user may still write below ``folder``.

    Raises:
        OSError: it cannot be looked at.
    """
    return shutil.disk_usage(folder).free


def full(folder: Path) -> str | None:
    """One line if the disk is full now; also where the supervisor could not write that, since it is."""
    try:
        return Disk(folder).problem(free_bytes(folder))
    except OSError:
        return None  # it cannot be looked at: whoever needs it says so


class Disk:
    """Full from when less than 64 MiB are free until 128 MiB are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._full = False

    def problem(self, free: int) -> str | None:
        """One line if the disk is full; ``free`` is in bytes."""
        self._full = free < (SPACE_BYTES if self._full else FULL_BYTES)
        if not self._full:
            return None
        return (
            f"the disk of {self._folder} is full ({free // MIB} MiB are free): no service is started until "
            f"{SPACE_BYTES // MIB} MiB are; free some space"
        )
