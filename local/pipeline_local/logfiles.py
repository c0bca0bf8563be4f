"""Log files of the children: bounded in size, read from the end."""

import shutil
from collections import deque
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 2


def rotate(file: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move a log that has grown over the limit to ``<name>.1`` (and that to ``.2``), and empty it.

    The child keeps its open file and appends, so the copy is truncated in place; a line written in between
    may be lost.
    """
    try:
        if file.stat().st_size <= max_bytes:
            return
    except FileNotFoundError:
        return
    for number in range(KEPT - 1, 0, -1):
        older = file.with_name(f"{file.name}.{number}")
        if older.exists():
            older.replace(file.with_name(f"{file.name}.{number + 1}"))
    shutil.copyfile(file, file.with_name(f"{file.name}.1"))
    with file.open("r+b") as stream:
        stream.truncate(0)


def tail(file: Path, lines: int) -> str:
    """The last lines of a file; empty when there is none. Reads the last 256 KiB at most."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 256 * 1024))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(deque(text.splitlines(), maxlen=lines))
