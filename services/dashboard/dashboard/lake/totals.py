"""How many rows the tables hold: exact, and the same after a restart, unlike a process's counters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pipeline_contracts.lake import EVENTS, QUARANTINE, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Names

from dashboard.lake.reader import At, LakeError, LakeReader, State

Path = Literal["batch", "stream"]
_QUARANTINES: Final[Mapping[Path, str]] = {"batch": QUARANTINE, "stream": STREAM_QUARANTINE}
_MOST_COUNTS: Final = 500
_COUNTS: Final = "SELECT reason, source, count(*) AS n FROM held GROUP BY reason, source ORDER BY source, reason"


@dataclass(frozen=True)
class Quarantined:
    """How many records of one path are held for one reason. ``source``: ``record``, or ``dead_letter``, …"""

    path: Path
    reason: str
    source: str
    records: int


@dataclass(frozen=True)
class Total:
    """What is known of one table: as of which state, and its rows or why they are not known."""

    state: State | None
    rows: int | None
    problem: str = ""


@dataclass(frozen=True)
class Totals:
    """Of every counted table by its path below the lake; one that is not there has no rows and no problem."""

    tables: Mapping[str, Total]
    quarantined: tuple[Quarantined, ...]

    @property
    def dead_letters(self) -> int:
        """Records that never reached an object, and came to quarantine by the dead-letter topic."""
        return sum(one.records for one in self.quarantined if one.source == "dead_letter")


def counted_tables(names: Names) -> list[str]:
    """The tables whose rows are counted, in the order in which records come by."""
    streams = [stream_table(names, kind) for kind in KINDS]
    return [EVENTS, QUARANTINE, *streams, STREAM_QUARANTINE]


def read(reader: LakeReader, names: Names, before: Totals | None = None) -> Totals:
    """Totals as of now; tables that did not change since ``before`` are not counted again. Blocks; raises nothing.

    A table that cannot be read has a ``problem``, and the others their numbers.
    """
    tables: dict[str, Total] = {}
    quarantined: list[Quarantined] = []
    for table in counted_tables(names):
        known = None if before is None else before.tables.get(table)
        path = next((path for path, held in _QUARANTINES.items() if held == table), None)
        try:
            state = reader.state(table)
            if state is None:
                tables[table] = Total(None, None)
            elif known is not None and known.state == state and not known.problem and before is not None:
                tables[table] = known
                quarantined += [one for one in before.quarantined if one.path == path]
            else:
                at = At(table, state.version)
                counts = [] if path is None else _reasons(reader, at, path)
                tables[table] = Total(state, reader.count(at))
                quarantined += counts
        except LakeError as error:
            tables[table] = Total(None, None, str(error))
    return Totals(tables, tuple(quarantined))


def _reasons(reader: LakeReader, at: At, path: Path) -> list[Quarantined]:
    rows = reader.rows(_COUNTS, {"held": at}, most=_MOST_COUNTS)
    return [Quarantined(path, row["reason"] or "", row["source"] or "", row["n"]) for row in rows]
