"""What one look at a service tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class CheckLine:
    """One line of ``/readyz``, or one part of a health page."""

    name: str
    ok: bool
    detail: str

    def is_of(self, *parts: str) -> bool:
        """Whether its name, or the first word of it, is one of these: ``query pin`` is of ``query``."""
        return self.name in parts or self.name.partition(" ")[0] in parts


@dataclass(frozen=True)
class Look:
    """An answer. ``numbers``: by the names of ``numbers.py``; None where they could not be read, and ``why`` not."""

    checks: tuple[CheckLine, ...]
    numbers: Mapping[str, float] | None = None
    why: str = ""

    def failing(self, *only: str) -> CheckLine | None:
        """The first check that fails, of those that ``only`` names; of all, where none is given."""
        of_these = (check for check in self.checks if not only or check.is_of(*only))
        return next((check for check in of_these if not check.ok), None)


class NoAnswerError(Exception):
    """A look that brought nothing, and why. ``gone``: nobody listens, so waiting for an answer is no use."""

    def __init__(self, why: str, *, gone: bool = False) -> None:
        super().__init__(why)
        self.gone = gone


class Source(Protocol):
    """Something that can be looked at."""

    def look(self) -> Look:
        """Look once; blocks for some seconds at most.

        Raises:
            NoAnswerError: it is down, too slow, or answers nonsense.
        """
