"""Which offsets the objects of a partition hold, and where the first hole is. Pure logic."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import msgspec


class Range(msgspec.Struct, frozen=True, order=True):
    """Offsets from ``first`` up to ``end``, which is not part of it.

    Raises:
        ValueError: it is empty or begins below 0.
    """

    first: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.end:
            msg = f"offsets from {self.first} up to {self.end} are no range"
            raise ValueError(msg)


class Hole(msgspec.Struct, frozen=True):
    """Offsets that no object holds: from ``first`` up to ``end``; None means that it is open, up to the log's end."""

    first: int
    end: int | None


class Coverage:
    """A set of offsets, kept as ranges that neither touch nor overlap."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        for one in ranges:
            self.add(one)

    def add(self, added: Range) -> None:
        """Take in a range; it may overlap or touch what is there."""
        low = bisect_left(self._ends, added.first)
        high = bisect_right(self._firsts, added.end)
        first, end = added.first, added.end
        if low < high:
            first = min(first, self._firsts[low])
            end = max(end, self._ends[high - 1])
        self._firsts[low:high] = [first]
        self._ends[low:high] = [end]

    def first_hole(self) -> Hole:
        """The lowest offsets that are not covered, counted from 0. There is always one: the last is open."""
        if not self._firsts:
            return Hole(0, None)
        if self._firsts[0] > 0:
            return Hole(0, self._firsts[0])
        return Hole(self._ends[0], self._firsts[1] if len(self._firsts) > 1 else None)

    def holes(self) -> list[Hole]:
        """Every hole, lowest first; the last is open."""
        starts = ([] if self._firsts[:1] == [0] else [0]) + self._ends
        ends: list[int | None] = [first for first in self._firsts if first > 0]
        return [Hole(first, end) for first, end in zip(starts, [*ends, None], strict=True)]

    def missing_in(self, asked: Range) -> list[Range]:
        """The parts of a range that are not covered."""
        parts = []
        for hole in self.holes():
            first = max(hole.first, asked.first)
            end = asked.end if hole.end is None else min(hole.end, asked.end)
            if first < end:
                parts.append(Range(first, end))
        return parts

    def __iter__(self) -> Iterator[Range]:
        return (Range(first, end) for first, end in zip(self._firsts, self._ends, strict=True))

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self._firsts, offset) - 1
        return at >= 0 and offset < self._ends[at]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coverage):
            return NotImplemented
        return (self._firsts, self._ends) == (other._firsts, other._ends)

    __hash__ = None  # type: ignore[assignment]  # it changes
