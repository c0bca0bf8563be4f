"""What a surface is: something that makes one case after the other, each from its seed and number alone."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Case(Protocol):
    """One thing that is sent."""

    @property
    def sent(self) -> bytes:
        """All of it, to be shown where it fails."""

    def run(self) -> list[str]:
        """Send it; what was wrong with the answer, one line each."""

    def smaller(self) -> Iterator["Case"]:
        """Cases with less in them, the smallest first; none where what it did cannot be undone."""


class Surface(Protocol):
    """One door of the installation. ``pause_s``: between two cases, so that what is read behind it can follow."""

    @property
    def pause_s(self) -> float:
        """How long."""

    def case(self, chance: random.Random) -> Case:
        """The case of this chance."""


@dataclass(frozen=True)
class Finding:
    """One fault; ``number`` is the case's, None where it is none of one case."""

    surface: str
    seed: int
    number: int | None
    what: str
    sent: bytes = b""

    @property
    def lines(self) -> str:
        """What a person needs to see it again."""
        again = (
            "" if self.number is None else f"\n  again: make fuzz SEED={self.seed} CASE={self.surface}/{self.number}"
        )
        shown = f"\n  sent {len(self.sent)} bytes: {self.sent[:3000]!r}" if self.sent else ""
        return f"fault: {self.surface}: {self.what}{again}{shown}"


def chance_of(seed: int, surface: str, number: int) -> random.Random:
    """The chance of one case, the same at each run."""
    return random.Random(f"{seed}/{surface}/{number}")


def shrunk(case: Case, tries: int = 40) -> tuple[Case, list[str]]:
    """The smallest case found in so many tries that is still at fault, and its faults; empty if it is not any more."""
    faults = case.run()
    left = tries
    found = bool(faults)
    while found and left:
        found = False
        for less in case.smaller():
            if not left:
                break
            left -= 1
            if worse := less.run():
                case, faults, found = less, worse, True
                break
    return case, faults
