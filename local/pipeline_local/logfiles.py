"""Log files of the children: bounded in size, read from the end."""

import codecs
import os
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 2


def rotate(file: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move a log that has grown over the limit to ``<name>.1`` (and that to ``.2``), and empty it.

    The child keeps its open file and appends, so the copy is truncated in place; a line written in between
    may be lost.

    Raises:
        OSError: it could not be copied or moved, as on a full disk; the log and the older ones hold what they held.
    """
    try:
        if file.stat().st_size <= max_bytes:
            return
    except FileNotFoundError:
        return
    draft = file.with_name(f"{file.name}.draft")
    try:
        shutil.copyfile(file, draft)
        for number in range(KEPT - 1, 0, -1):
            older = file.with_name(f"{file.name}.{number}")
            if older.exists():
                older.replace(file.with_name(f"{file.name}.{number + 1}"))
        draft.replace(file.with_name(f"{file.name}.1"))
    finally:
        draft.unlink(missing_ok=True)
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


def follow(file: Path) -> Iterator[str]:
    """What is written from now on: a piece each time it is asked, empty where nothing came. Goes on after ``rotate``.

    Raises:
        FileNotFoundError: there is no such log.
    """
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        while True:
            yield decode(stream.read())
            if os.fstat(stream.fileno()).st_size < stream.tell():
                stream.seek(0)
