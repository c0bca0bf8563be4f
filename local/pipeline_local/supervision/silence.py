"""Detects a supervisor that runs but no longer writes its status."""

import time
from pathlib import Path
from typing import Final

from pipeline_local.supervision import disk

SILENCE_S: Final = 60.0
"""The supervisor writes its status every 10 s, also where nothing changed."""


def silence(status_file: Path, home: Path) -> str | None:
    """Why a running supervisor has written no status for a minute; None if it has.

    On a disk that is full to the last byte it cannot say so itself.
    """
    try:
        silent_s = time.time() - status_file.stat().st_mtime
        if silent_s < SILENCE_S:
            return None
        full = disk.Disk(home).problem(disk.free_bytes(home))
    except OSError:
        return None
    return full or (
        f"the supervisor has said nothing for {silent_s:.0f} s, and what follows may not be so any more: it hangs, "
        "or may not write; `pipeline down`, then `pipeline up`"
    )
