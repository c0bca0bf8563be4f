"""Who may see personal data: ``user_name``, ``age``, ``date_joined``, and raw values, which may hold any of them.

``poster_name`` is public: it is what the popularity ranks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from werkzeug.datastructures import Headers

PERSONAL: Final = frozenset({"user_name", "age", "date_joined"})
"""Columns and fields that are redacted. Raw values and keys of records are, too."""
REDACTED: Final = "redacted"
HOW_TO_SHOW: Final = "Set DASHBOARD_SHOW_PERSONAL=true to show personal data"


class Privacy(Protocol):
    """Decides for one request."""

    @property
    def how_to_show(self) -> str:
        """One line, for people: what would let somebody see personal data."""

    def shows_personal(self, headers: Headers) -> bool:
        """Whether whoever sent these headers may see personal data."""

    def who(self, headers: Headers) -> str:
        """Who that is, for the log of who opened what."""


@dataclass(frozen=True)
class BySetting:
    """The same for everybody who reaches the page: for a machine of one's own."""

    shown: bool
    how_to_show: str = HOW_TO_SHOW

    def shows_personal(self, headers: Headers) -> bool:  # noqa: ARG002  # the interface's
        """As the setting says."""
        return self.shown

    def who(self, headers: Headers) -> str:  # noqa: ARG002  # the interface's
        """Nobody signs in here."""
        return "somebody on this machine"


def redacted(row: Mapping[str, object], *, shown: bool) -> dict[str, object]:
    """The row, its personal fields replaced unless they may be ``shown``. Empty ones stay: they tell nothing."""
    return {
        name: REDACTED if name in PERSONAL and value is not None and not shown else value for name, value in row.items()
    }
