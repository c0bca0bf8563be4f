"""The folder of one query's checkpoint: where it lies, whether it can be used, and how it is set aside.

Setting a checkpoint aside loses nothing: the query begins at the oldest record of its stream again, under a new query
id, and leaves out the coordinates that the tables hold (``known``).
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kinesis_source.errors import OffsetError
from kinesis_source.offsets import from_json
from pipeline_contracts.names import Kind

logger = logging.getLogger(__name__)

_VERSION: Final = "v1"


class DamageError(Exception):
    """The checkpoint cannot be used; the message names the file and what is wrong with it."""


def checkpoint_folder(state_dir: Path, kind: Kind, log_id: str) -> Path:
    """One folder per stream: the positions of one are nothing to another of the same name."""
    created_ms = log_id.rpartition("@")[2]
    return state_dir / "checkpoints" / kind / created_ms


@dataclass(frozen=True)
class Checkpoint:
    """Whose checkpoint it is, and the last batch that was planned; -1 before the first."""

    query_id: str
    planned: int


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """What Spark will go on from, every file of it having been read; None: the query has not run yet.

    Raises:
        DamageError: a file is cut, empty, missing or not what Spark writes.
        OSError: the folder cannot be read now.
    """
    offsets, commits = _batches(folder / "offsets"), _batches(folder / "commits")
    metadata = folder / "metadata"
    if not metadata.exists():
        if offsets or commits:
            # Spark would go on under a new id, and Delta take the batch that is repeated for another one.
            raise DamageError(f"{metadata} is missing")
        return None
    query_id = _read(metadata, _id_of)
    for number in offsets:
        _read(folder / "offsets" / str(number), _check_offset)
    for number in commits:
        _read(folder / "commits" / str(number), _check_commit)
    _check_order(folder, offsets, commits)
    return Checkpoint(query_id, offsets[-1] if offsets else -1)


def set_aside(folder: Path, reason: str) -> Path:
    """Rename the checkpoint to ``<name>.damaged``, in place of one that lay there. Returns the new path.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = folder.with_name(f"{folder.name}.damaged")
    if aside.exists():
        shutil.rmtree(aside)
    folder.replace(aside)
    logger.error(
        "the checkpoint is renamed; the query begins at the oldest record and leaves out what the tables hold",
        extra={"reason": reason, "checkpoint": str(folder), "set_aside_as": str(aside)},
    )
    return aside


def write_atomically(file: Path, content: bytes) -> None:
    """Replace a file; who reads it sees the old content or the new. Not synced: a power cut may leave it empty."""
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    new.write_bytes(content)
    new.replace(file)


def _batches(folder: Path) -> list[int]:
    """The batch numbers that a log of Spark's has files of."""
    try:
        return sorted(int(file.name) for file in folder.iterdir() if file.name.isascii() and file.name.isdigit())
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise DamageError(f"{folder} is no folder") from error


def _read[T](file: Path, parse: Callable[[str], T]) -> T:
    try:
        return parse(file.read_text(encoding="utf-8"))
    except IsADirectoryError as error:
        raise DamageError(f"{file} is a folder") from error
    except (ValueError, KeyError, OffsetError) as error:
        raise DamageError(f"{file} is damaged: {error}") from error


def _id_of(text: str) -> str:
    found = _object(text).get("id")
    if not isinstance(found, str) or not found:
        raise ValueError("it holds no query id")
    return found


def _check_offset(text: str) -> None:
    """Version, Spark's own settings, and the position of our one source."""
    lines = _lines(text, 3)
    _object(lines[1])
    from_json(_object(lines[2]))


def _check_commit(text: str) -> None:
    _object(_lines(text, 2)[1])


def _lines(text: str, count: int) -> list[str]:
    lines = text.split("\n")
    if len(lines) != count:
        raise ValueError(f"it has {len(lines)} lines in place of {count}")
    if lines[0] != _VERSION:
        raise ValueError(f"it does not begin with {_VERSION}")
    return lines


def _object(text: str) -> Mapping[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")  # noqa: TRY004  # damage of a file, not of a caller
    return found


def _check_order(folder: Path, offsets: list[int], commits: list[int]) -> None:
    """Each batch is planned, then committed, then the next one is planned. Spark keeps the last ones of both logs."""
    for name, numbers in (("offsets", offsets), ("commits", commits)):
        if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
            raise DamageError(f"{folder / name} lacks a batch among {numbers[0]} to {numbers[-1]}")
    planned, committed = (offsets or [-1])[-1], (commits or [-1])[-1]
    if committed not in (planned, planned - 1):
        raise DamageError(f"{folder}: the last planned batch is {planned}, the last committed one {committed}")
    if offsets and offsets[0] > 0 and (not commits or len(offsets) == 1):
        raise DamageError(f"{folder}: the batch before {planned} is missing")
