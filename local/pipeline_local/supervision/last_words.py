"""The last line of a log that says why its process ended."""

import json
import re
from collections.abc import Iterable
from typing import Final

from service_kit.inert import visible

LONGEST: Final = 240
_RANKS: Final = {"critical": 3, "error": 3, "warning": 2, "info": 1, "debug": 0}
_EVERY_LINE: Final = {"time", "level", "service", "logger", "event"}
_REASONS: Final = ("error", "problem", "reason", "detail")
_FRAME: Final = re.compile(r"\s|at [\w$.<>/]+\(|\.{3} \d+ more|\^+$|Traceback \(most recent call last\)|-{3,}")
_LEVEL: Final = re.compile(r"\b(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|CRITICAL)\b")
_PLAIN_RANKS: Final = {
    "TRACE": 0,
    "DEBUG": 0,
    "INFO": 1,
    "WARN": 2,
    "WARNING": 2,
    "ERROR": 3,
    "FATAL": 3,
    "CRITICAL": 3,
}


def last_words(text: str) -> str | None:
    """The last error in a log; else the last warning; else its last line. None if it has no text.

    Reads JSON lines of ours, and plain ones: of a traceback the error, not the frames. Nothing in the result moves a
    cursor, and it is no longer than ``LONGEST``.
    """
    best: tuple[int, str] | None = None
    for line in text.splitlines():
        found = _ranked(line)
        if found is not None and (best is None or found[0] >= best[0]):
            best = found
    return None if best is None else shown(best[1])


def shown(text: str) -> str:
    """One line that is safe to print."""
    words = visible(" ".join(text.split()))
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


def _ranked(line: str) -> tuple[int, str] | None:
    if line.startswith("{"):
        try:
            document = json.loads(line)
        except ValueError:
            return None  # cut off in the middle
        if isinstance(document, dict) and "event" in document:
            return _of_ours(document)
    if not line.strip() or _FRAME.match(line):
        return None
    level = _LEVEL.search(line[:80])
    rank = 3 if level is None else _PLAIN_RANKS[level[0]]
    return rank if line[0] != "{" else 1, line


def _of_ours(document: dict[str, object]) -> tuple[int, str]:
    said = str(document["event"])
    fields = {
        name: value for name, value in document.items() if name not in _EVERY_LINE and isinstance(value, str | int)
    }
    if short := [f"{name} {value}" for name, value in fields.items() if name not in _REASONS]:
        said += f" ({', '.join(short)})"
    reason = next((str(fields[name]) for name in _REASONS if fields.get(name)), "")
    if words := _error_of(reason.splitlines()):
        said += f": {words}"
    return _RANKS.get(str(document.get("level")), 1), said


def _error_of(lines: Iterable[str]) -> str:
    """Of a traceback its last error; of other lines the last."""
    words = [line for line in lines if line.strip() and not _FRAME.match(line)]
    if not words:
        return ""
    return words[-1]
