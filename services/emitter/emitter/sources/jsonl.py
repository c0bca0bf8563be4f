"""Rows from a folder with ``pin.jsonl``, ``geo.jsonl`` and ``user.jsonl``: one JSON object per line."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline_contracts.events import MAX_RECORD_BYTES
from pipeline_contracts.names import KINDS, Kind

from emitter.errors import SourceError
from emitter.rows import Row
from emitter.sources.source import Taken, in_turns

_FINGERPRINT_BYTES = 1 << 20
_LONGEST_LINE = MAX_RECORD_BYTES + 8
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonlSource:
    """A row's position is its line number, from 1. Blank lines are no rows.

    Raises:
        SourceError: the folder or one of the three files is missing or cannot be read.
    """

    seed = None

    def __init__(self, folder: Path) -> None:
        self._files: dict[Kind, Path] = {kind: folder / f"{kind}.jsonl" for kind in KINDS}
        try:
            if not folder.is_dir():
                msg = f"no folder {folder}; --source names a folder with {_file_names()}, or a database URL"
                raise SourceError(msg)
            missing = [path.name for path in self._files.values() if not path.is_file()]
            if missing:
                msg = (
                    f"{folder} holds no {', '.join(missing)}; a source folder has {_file_names()}, an empty one counts"
                )
                raise SourceError(msg)
            prints = [_fingerprint(path) for path in self._files.values()]
        except OSError as error:
            msg = f"cannot read {error.filename}: {error.strerror}"
            raise SourceError(msg) from error
        self.identity = f"jsonl:{folder.resolve()}#{hashlib.blake2b(b''.join(prints), digest_size=8).hexdigest()}"

    def rows(self, taken: Taken) -> Iterator[Row]:
        """The lines behind ``taken``, in turns over the three files."""
        return in_turns(
            {kind: _lines(kind, path, int(taken.positions.get(kind, 0))) for kind, path in self._files.items()},
            taken.last,
        )

    def close(self) -> None:
        """Files close themselves when their lines are read or forgotten."""


def _lines(kind: Kind, path: Path, after: int) -> Iterator[Row]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if len(line) >= _LONGEST_LINE and not line.endswith(b"\n"):
                    # A line without end must not fill the memory: its beginning is enough to reject it.
                    _pass_over_rest(file)
                    value = line
                else:
                    value = line.strip()
                if number > after and value:
                    yield Row(kind, value, str(number))
    except OSError as error:
        msg = f"cannot read on in {path}: {error.strerror}"
        raise SourceError(msg) from error


def _pass_over_rest(file: BinaryIO) -> None:
    while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _fingerprint(path: Path) -> bytes:
    """Tells a replaced or grown file from the one a run began with, at the cost of two small reads."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_FINGERPRINT_BYTES))
        file.seek(max(0, size - _FINGERPRINT_BYTES))
        digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.digest()


def _file_names() -> str:
    return ", ".join(f"{kind}.jsonl" for kind in KINDS)
