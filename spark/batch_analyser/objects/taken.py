"""Which offsets of one object were taken, in little memory where they follow each other."""

from bisect import bisect_right
from typing import Final

MOST_RUNS: Final = 250_000
"""So many runs of offsets one object may have: an object with more is no partition's, and its ledger row has no end."""


class Offsets:
    """Runs of offsets. Rising ones are cheap; those that step back are kept one by one."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[int] = []
        self._next: list[int] = []
        self._strays: set[int] = set()

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self._first, offset) - 1
        return (at >= 0 and offset < self._next[at]) or offset in self._strays

    @property
    def full(self) -> bool:
        """Whether no further run fits."""
        return len(self._first) + len(self._strays) >= MOST_RUNS

    def add(self, offset: int) -> bool:
        """Take one in; says whether it was new."""
        if offset in self:
            return False
        self.count += 1
        if self._next and offset == self._next[-1]:
            self._next[-1] += 1
        elif not self._next or offset > self._next[-1]:
            self._first.append(offset)
            self._next.append(offset + 1)
        else:
            self._strays.add(offset)
        return True

    def ranges(self) -> list[dict[str, int]]:
        """Runs of consecutive offsets (``first``, ``next``), so that what an object held can be counted ever after."""
        runs = sorted([*zip(self._first, self._next, strict=True), *((one, one + 1) for one in self._strays)])
        merged: list[dict[str, int]] = []
        for first, after in runs:
            if merged and merged[-1]["next"] == first:
                merged[-1]["next"] = after
            else:
                merged.append({"first": first, "next": after})
        return merged
