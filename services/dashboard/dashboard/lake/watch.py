"""What the Overview shows of the lake, looked at again and again: totals, and the newest complete run."""

from dataclasses import dataclass
from typing import Final

from pipeline_contracts.lake import EVENTS, QUARANTINE, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Names
from service_kit.clock import Clock

from dashboard.blocks import Block, Kept
from dashboard.lake.reader import LakeError, LakeReader
from dashboard.lake.runs import Run, newest
from dashboard.lake.totals import Path, Totals, read

STALE_AFTER_S: Final = 90.0
NO_RUN: Final = "No analysis has ended yet"
NO_LAKE: Final = "Nothing has reached the lake yet"


@dataclass(frozen=True)
class NotTaken:
    """Records that were not taken: refused by a cleaner, in an object that could not be read, or dead letters."""

    batch: int
    stream: int
    dead_letters: int


class LakeWatch:
    """``look`` by one at a time; blocks of what it brought from any thread."""

    def __init__(self, reader: LakeReader, names: Names, clock: Clock) -> None:
        self._reader = reader
        self._names = names
        self._streams = [stream_table(names, kind) for kind in KINDS]
        self._totals: Totals | None = None
        self._not_taken: Kept[NotTaken] = Kept(clock, STALE_AFTER_S)
        self._rows: Kept[int] = Kept(clock, STALE_AFTER_S)
        self._run: Kept[Run] = Kept(clock, STALE_AFTER_S)

    def look(self) -> None:
        """Read what has changed; blocks as long as that takes, raises nothing."""
        totals = self._totals = read(self._reader, self._names, self._totals)
        if problem := _problem(totals, QUARANTINE, STREAM_QUARANTINE):
            self._not_taken.failed(problem)
        elif not any(totals.tables[table].state for table in (EVENTS, QUARANTINE, STREAM_QUARANTINE, *self._streams)):
            self._not_taken.nothing(NO_LAKE, "pipeline send --path both")
        else:
            self._not_taken.took(_counted(totals))
        if problem := _problem(totals, *self._streams):
            self._rows.failed(problem)
        elif not any(totals.tables[table].state for table in self._streams):
            self._rows.nothing("No stream has been read yet", "pipeline send --path stream")
        else:
            self._rows.took(sum(totals.tables[table].rows or 0 for table in self._streams))
        try:
            run = next(iter(newest(self._reader)), None)
        except LakeError as error:
            self._run.failed(str(error))
            return
        if run is None:
            self._run.nothing(NO_RUN, "pipeline analyse")
        else:
            self._run.took(run)

    def not_taken(self) -> Block[NotTaken]:
        """Records that were not taken."""
        return self._not_taken.block()

    def records(self) -> dict[Path, int | None]:
        """How many records of each path the lake holds, those in quarantine included; None where it is not known."""
        totals = self._totals
        of_path: dict[Path, list[str]] = {"batch": [EVENTS], "stream": [*self._streams, STREAM_QUARANTINE]}
        if totals is None:
            return dict.fromkeys(of_path)
        return {
            path: None if _problem(totals, *tables) else sum(totals.tables[table].rows or 0 for table in tables)
            for path, tables in of_path.items()
        }

    def stream_rows(self) -> Block[int]:
        """Rows of the three stream tables."""
        return self._rows.block()

    def run(self) -> Block[Run]:
        """The newest complete run."""
        return self._run.block()


def _problem(totals: Totals, *tables: str) -> str:
    return next((totals.tables[table].problem for table in tables if totals.tables[table].problem), "")


def _counted(totals: Totals) -> NotTaken:
    of_batch = sum(one.records for one in totals.quarantined if one.path == "batch")
    of_stream = sum(one.records for one in totals.quarantined if one.path == "stream")
    return NotTaken(of_batch - totals.dead_letters, of_stream, totals.dead_letters)
