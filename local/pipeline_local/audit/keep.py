"""Keeps the newest audits, a file each, for the dashboard (``pipeline_contracts.audits``)."""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from pipeline_contracts import audits
from pipeline_contracts.audits import AuditRow, PathName, Range, StoredAudit

from pipeline_local.audit.report import Audit
from pipeline_local.locks import take

_LOCK: Final = ".lock"
_DRAFT: Final = ".draft"
"""Under the lock there is one at most; that of a process that was killed is overwritten by the next."""
_PATIENCE_S: Final = 10.0


def keep(folder: Path, found: Audit, paths: Sequence[PathName], finished_at: datetime, seconds: float) -> Path:
    """Write the audit as a whole or not at all, then delete all but the newest ``MOST_AUDITS``.

    Two audits that end at the same moment get a file each. Files with other names stay as they are. Blocks on the
    disk, and while another audit is written, for 10 s at most.

    Raises:
        OSError: the folder cannot be written, or the disk is full; what was stored before is still there.
        LockError: the folder's lock cannot be opened.
        ValueError: the audit is too large for a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = take(folder / _LOCK, _PATIENCE_S)
    if lock is None:
        raise TimeoutError(f"another audit has written into {folder} for {_PATIENCE_S:.0f} s")
    with lock:
        rows, left_out = _named(found.rows, audits.MOST_RANGES)
        while (file := folder / audits.file_name(finished_at)).exists():
            finished_at += timedelta(microseconds=1)
        stored = StoredAudit(finished_at, round(seconds, 3), found.exit_code, list(paths), rows, left_out)
        _write(file, audits.encoded(stored))
        _forget_old(folder, file)
    return file


def _write(file: Path, body: bytes) -> None:
    draft = file.with_name(_DRAFT)
    try:
        with draft.open("wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _named(rows: Sequence[AuditRow], room: int) -> tuple[list[AuditRow], int]:
    """The rows with their first ranges, ``room`` altogether, and how many more there are."""
    named, left_out = [], 0
    for row in rows:
        lists: dict[str, list[Range]] = {}
        for what in audits.TROUBLES:
            ranges: list[Range] = getattr(row, what)
            lists[what] = ranges[:room]
            room -= len(lists[what])
            left_out += len(ranges) - len(lists[what])
        named.append(replace(row, **lists))
    return named, left_out


def _forget_old(folder: Path, newest: Path) -> None:
    """The file that was just written stays, wherever the clock stood when the others were."""
    older = sorted(file for file in folder.iterdir() if audits.is_file_name(file.name) and file != newest)
    for file in older[: max(0, len(older) + 1 - audits.MOST_AUDITS)]:
        file.unlink(missing_ok=True)
