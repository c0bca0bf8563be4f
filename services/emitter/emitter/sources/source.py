"""What every source can do, and how rows are taken in turns over the three kinds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from pipeline_contracts.names import KINDS, Kind

from emitter.rows import Row


class Taken(msgspec.Struct, frozen=True):
    """How far a run has read: rows taken in all, the last row's kind, and the last position of each kind."""

    rows: int = 0
    last: Kind | None = None
    positions: dict[Kind, str] = {}

    def after(self, rows: Sequence[Row]) -> "Taken":
        """The same, those rows later."""
        if not rows:
            return self
        positions = self.positions | {row.kind: row.position for row in rows}
        return Taken(self.rows + len(rows), rows[-1].kind, positions)


class Source(Protocol):
    """An ordered, repeatable sequence of rows."""

    @property
    def identity(self) -> str:
        """Equal for two commands that read the same rows; holds no secret."""

    @property
    def seed(self) -> int | None:
        """The generator's seed; None elsewhere."""

    def rows(self, taken: Taken) -> Iterator[Row]:
        """The rows behind ``taken``, in order. May block on a disk or a database.

        Raises:
            SourceError: the source cannot be read on.
        """

    def close(self) -> None:
        """Release files and connections."""


def in_turns(parts: Mapping[Kind, Iterator[Row]], last: Kind | None) -> Iterator[Row]:
    """One row of each kind after the other, beginning behind ``last``; a part that has ended is passed over."""
    first = 0 if last is None else KINDS.index(last) + 1
    waiting = [kind for kind in (*KINDS[first:], *KINDS[:first]) if kind in parts]
    while waiting:
        kind = waiting.pop(0)
        row = next(parts[kind], None)
        if row is not None:
            waiting.append(kind)
            yield row
