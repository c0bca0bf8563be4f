"""The state folder: made private, marked as ours, and deleted without touching a file that is not."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipeline_local.layout import STATE_VERSION

MARK: Final = "VERSION"
DEMO_MARK: Final = "DEMO"
_PRIVATE: Final = 0o700
_OWN: Final = re.compile(
    r"(VERSION|DEMO|SENT|secrets\.json|(VERSION|secrets\.json)\.draft|status\.\d+\.tmp"
    r"|(status\.json|(supervisor|up)\.lock)(\.damaged\d*)?"
    r"|kafka|localstack|mirror|proxy|s3-sink|analyser|stream-reader|airflow|emitter|dashboard"
    r"|lake|logs|scratch|audits)(\.damaged\d*)?"
)
"""The name of everything that an installation puts into its folder (local/README.md), or sets aside there."""
_OF_THE_DISK: Final = {"lost+found"}
"""Present in the root of a file system; ignored."""
_NAMED: Final = 5
_STAYS: Final = {errno.EBUSY, errno.ENOTEMPTY, errno.EACCES, errno.EPERM, errno.EROFS}


class StateFolderError(RuntimeError):
    """The folder is not ours, or cannot be made or deleted; the message says which, why and what to do."""


def claim(home: Path) -> None:
    """Make the folder, or take one that is empty or ours: readable by its owner alone, with the mark.

    Raises:
        StateFolderError: it holds somebody else's files, or state of another version, or cannot be written.
    """
    try:
        if not (home / MARK).exists() and (foreign := _foreign(home)):
            raise StateFolderError(
                f"{home} holds files that are not this pipeline's ({_listed(foreign)}): "
                "set PIPELINE_HOME to an empty folder, or to one that does not exist yet"
            )
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(_PRIVATE)
        if not (home / MARK).exists():
            draft = home / f"{MARK}.draft"
            draft.write_text(f"{STATE_VERSION}\n", encoding="utf-8")
            draft.replace(home / MARK)
    except OSError as error:
        raise StateFolderError(
            f"cannot use {home} as the state folder: {error}; set PIPELINE_HOME to a folder of your own"
        ) from error
    if (found := _version(home)) != str(STATE_VERSION):
        remedy = "run `pipeline reset` to delete it" if _is_ours(home) else "delete it by hand"
        raise StateFolderError(
            f"{home} holds state of version {found!r}, this is version {STATE_VERSION}: "
            f"{remedy}, or use the release that wrote it"
        )


def check_is_ours(home: Path) -> None:
    """Whether ``delete`` would delete it.

    Raises:
        StateFolderError: it would not.
    """
    if foreign := _foreign(home):
        raise StateFolderError(
            f"{home} holds files that are not this pipeline's ({_listed(foreign)}): nothing was deleted. "
            "Move them elsewhere, or set PIPELINE_HOME to the state folder"
        )
    if any(_entries(home)) and not _is_ours(home):
        raise StateFolderError(
            f"{home} is no state folder: it has no file {MARK} with a version. Nothing was deleted; "
            "set PIPELINE_HOME to the state folder, or delete this one by hand"
        )


def delete(home: Path) -> None:
    """Delete what is in the folder, and the folder, which stays (empty) where it is a mount point.

    The mark goes last, so that what was cut off can be done again.

    Raises:
        StateFolderError: the folder is not ours, or a file in it cannot be deleted.
    """
    check_is_ours(home)
    for entry in sorted(_entries(home), key=lambda entry: entry.name in {MARK, DEMO_MARK}):
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, onexc=_unless_mounted)
            else:
                entry.unlink(missing_ok=True)
        except OSError as error:
            raise StateFolderError(
                f"cannot delete {entry}: {error}. The rest is still there; fix it, then run this again"
            ) from error
    try:
        home.rmdir()
    except OSError as error:
        if error.errno not in _STAYS:
            raise StateFolderError(f"{home} is empty now, but cannot be deleted: {error}") from error


def _entries(home: Path) -> list[Path]:
    try:
        return [entry for entry in home.iterdir() if entry.name not in _OF_THE_DISK]
    except FileNotFoundError:
        return []


def _foreign(home: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(home) if not _OWN.fullmatch(entry.name))


def _is_ours(home: Path) -> bool:
    """A version is a number, which a file of this name in somebody's project seldom is."""
    return (home / DEMO_MARK).exists() or _version(home).isdecimal()


def _version(home: Path) -> str:
    try:
        return (home / MARK).read_bytes()[:20].decode("utf-8", "backslashreplace").strip()
    except OSError:
        return ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _unless_mounted(function: Callable[..., Any], path: str, error: BaseException) -> None:
    """A mount point inside is emptied and stays."""
    if not (function is os.rmdir and os.path.ismount(path)):
        raise error
