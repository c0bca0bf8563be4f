"""Which queries were stopped, and why: a file each, which outlives the process."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pipeline_contracts.names import Kind


@dataclass(frozen=True)
class Stopped:
    """A query that waits for a person."""

    reason: str
    since: str


class StoppedQueries:
    """The folder of those files.

    Raises:
        OSError: from every method, where the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, kind: Kind) -> Stopped | None:
        """Why the query is stopped; None where it is not. A file that cannot be read stops it, too."""
        try:
            text = self._file(kind).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return Stopped(**json.loads(text))
        except (ValueError, TypeError):
            return Stopped(f"{self._file(kind)} cannot be read, so why is not known: resume the query to go on", "")

    def put(self, kind: Kind, reason: str, now: datetime) -> Stopped:
        """Stop it: durable when this returns."""
        stopped = Stopped(reason, now.isoformat(timespec="seconds"))
        new = self._file(kind).with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(asdict(stopped), file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file(kind))
        return stopped

    def remove(self, kind: Kind) -> None:
        """Let it go on."""
        self._file(kind).unlink(missing_ok=True)

    def _file(self, kind: Kind) -> Path:
        return self._folder / f"{kind}.json"
