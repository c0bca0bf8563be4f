"""Reads the folder of stored audits (``pipeline_contracts.audits``), bounded, whatever lies in it."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from pipeline_contracts import audits
from pipeline_contracts.audits import PATHS, PathName, StoredAudit
from service_kit.clock import Clock

from dashboard.blocks import Block, Kept

MAKES_ONE: Final = "pipeline audit"
NONE_STORED: Final = "No audit has been stored yet"
STALE_AFTER_S: Final = 60.0
_MOST_ENTRIES: Final = 1_000
_OURS: Final = {".lock", ".draft"}
"""What the writer leaves beside the audits."""
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NoAuditError(Exception):
    """There is no audit of this name, or the file is none; the message says why."""


@dataclass(frozen=True)
class Skipped:
    """A file that is no audit, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Named:
    """A stored audit and its file's name."""

    name: str
    audit: StoredAudit


@dataclass(frozen=True)
class Summary:
    """An audit whose rows are left out. ``records`` are those that the logs had taken; ``wrong`` counts partitions."""

    name: str
    audit: StoredAudit
    records: int
    missing: int
    in_flight: int
    wrong: int


@dataclass(frozen=True)
class Audits:
    """What the folder holds: the newest audit of each path, and all of them, newest first, without their rows."""

    newest: Mapping[PathName, Named]
    history: tuple[Summary, ...]
    skipped: tuple[Skipped, ...]


class AuditsFolder:
    """``look`` by one at a time; ``block`` and ``one`` from any thread."""

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        self._folder = folder
        self._kept: Kept[Audits] = Kept(clock, STALE_AFTER_S)
        self._known: dict[str, tuple[tuple[int, ...], Summary | Skipped]] = {}
        self._newest: dict[PathName, Named] = {}

    def block(self) -> Block[Audits]:
        """What the last look found; it holds for when the newest audit ended."""
        return self._kept.block()

    def look(self) -> None:
        """Read the files that are new or were changed; blocks on the disk, raises nothing."""
        if self._folder is None:
            self._kept.nothing("Not known here: DASHBOARD_AUDITS_DIR is not set")
            return
        try:
            names, skipped = self._names(self._folder)
        except FileNotFoundError:
            self._kept.nothing(NONE_STORED, MAKES_ONE)
            return
        except OSError as error:
            self._kept.failed(f"The folder of audits cannot be read: {error.strerror}")
            return
        history: list[Summary] = []
        newest: dict[PathName, Named] = {}
        known: dict[str, tuple[tuple[int, ...], Summary | Skipped]] = {}
        for name in names:
            try:
                known[name] = self._seen(self._folder / name, newest)
            except FileNotFoundError:
                continue  # deleted meanwhile, as one of the oldest
            found = known[name][1]
            if isinstance(found, Skipped):
                skipped.append(found)
            else:
                history.append(found)
        self._known, self._newest = known, newest
        if history:
            self._kept.took(Audits(newest, tuple(history), tuple(skipped)), history[0].audit.finished_at)
        elif skipped:
            self._kept.failed(f"No file in the folder of audits is an audit; {skipped[0].name}: {skipped[0].why}")
        else:
            self._kept.nothing(NONE_STORED, MAKES_ONE)

    def one(self, name: str) -> Named:
        """One audit with its rows; blocks on the disk.

        Raises:
            NoAuditError: there is none of this name.
        """
        if self._folder is None or not audits.is_file_name(name):
            raise NoAuditError("that is not the name of an audit")
        try:
            return Named(name, _read(self._folder / name)[1])
        except FileNotFoundError as error:
            raise NoAuditError("there is no audit of this name; the newest 100 are kept") from error
        except OSError as error:
            raise NoAuditError(f"it cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise NoAuditError(f"it is not an audit: {error}") from error

    def _names(self, folder: Path) -> tuple[list[str], list[Skipped]]:
        """Names of audits, newest first, and what else lies there."""
        with os.scandir(folder) as found:
            entries = [entry.name for entry in islice(found, _MOST_ENTRIES + 1)]
        foreign = sorted(name for name in entries if name not in _OURS and not audits.is_file_name(name))
        skipped = [Skipped(name, "its name is not that of an audit") for name in foreign]
        if len(entries) > _MOST_ENTRIES:
            skipped.insert(0, Skipped("(others)", f"the folder holds over {_MOST_ENTRIES:,} files; not all are read"))
        named = sorted((name for name in entries if audits.is_file_name(name)), reverse=True)
        return named[: audits.MOST_AUDITS], skipped

    def _seen(self, file: Path, newest: dict[PathName, Named]) -> tuple[tuple[int, ...], Summary | Skipped]:
        """What one file is; it is read only where it changed, or is the newest of a path. Fills ``newest``."""
        name = file.name
        state = _state(file.lstat())
        before = self._known.get(name)
        if before is not None and before[0] == state:
            if isinstance(before[1], Skipped):
                return before
            wanted = [path for path in before[1].audit.paths if path not in newest]
            kept = next((one for one in self._newest.values() if one.name == name), None)
            if not wanted or kept is not None:
                newest.update({path: kept for path in wanted if kept is not None})
                return before
        try:
            state, audit = _read(file)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return state, Skipped(name, why)
        for path in PATHS:
            if path in audit.paths:
                newest.setdefault(path, Named(name, audit))
        return state, _summary(name, audit)


def _read(file: Path) -> tuple[tuple[int, ...], StoredAudit]:
    """A regular file of at most ``MOST_BYTES``, no link, and its state.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no audit.
    """
    with os.fdopen(os.open(file, _FLAGS), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        body = stream.read(audits.MOST_BYTES + 1)
    if len(body) > audits.MOST_BYTES:
        raise ValueError(f"it has more than {audits.MOST_BYTES:,} bytes")
    audit = audits.decoded(body)
    if not audit.paths or any(row.path not in audit.paths for row in audit.rows):
        raise ValueError("its rows are of a path that it does not name")
    if audit.exit_code != audits.exit_code(audit.rows):
        raise ValueError("its exit code is not that of its rows")
    return _state(status), audit


def _state(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _summary(name: str, audit: StoredAudit) -> Summary:
    rows = audit.rows
    bare = StoredAudit(audit.finished_at, audit.seconds, audit.exit_code, audit.paths, [], audit.ranges_left_out)
    return Summary(
        name,
        bare,
        records=sum(row.in_log for row in rows),
        missing=sum(row.missing_records for row in rows),
        in_flight=sum(row.in_flight for row in rows),
        wrong=sum(row.is_wrong for row in rows),
    )
