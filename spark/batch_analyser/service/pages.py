"""Pages of a list, as the reference has them: tokens for the page behind one and for the page before it.

https://docs.databricks.com/api/workspace/jobs/listruns
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from batch_analyser.service.arguments import integer, invalid, shown, text, within

_TOKEN: Final = re.compile(r"(next|previous):(\d+)", re.ASCII)


class Cursor(NamedTuple):
    """Where a page lies in a list: right behind one id, or right before one; with neither, at the beginning."""

    behind: int | None = None
    before: int | None = None


@dataclass(frozen=True)
class Page[T]:
    """Some entries of a list, in its order, and what an answer says of the others: ``has_more`` and the tokens."""

    entries: Sequence[T]
    more: Mapping[str, Any]


def page_of[T](
    given: Mapping[str, Any],
    select: Callable[[Cursor, int], Sequence[T]],
    id_of: Callable[[T], int],
    *,
    usual: int,
    most: int,
) -> Page[T]:
    """The page that a request asks for with ``limit`` and ``page_token``.

    ``select`` gives so many entries next to a place, in the list's order.

    Raises:
        ApiError: the limit is out of range, or the token is none of ours.
    """
    limit = within(given, "limit", usual, most)
    entries = select(_cursor(given), limit)
    tokens: dict[str, str] = {}
    if entries:
        first, last = id_of(entries[0]), id_of(entries[-1])
        if select(Cursor(behind=last), 1):
            tokens["next_page_token"] = f"next:{last}"
        if select(Cursor(before=first), 1):
            tokens["prev_page_token"] = f"previous:{first}"
    return Page(entries, {"has_more": "next_page_token" in tokens, **tokens})


def _cursor(given: Mapping[str, Any]) -> Cursor:
    token = text(given, "page_token")
    if not token:
        return Cursor()
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise invalid(f"'page_token' must be one that a list gave, not {shown(token)}.")
    place = integer({"page_token": found[2]}, "page_token")
    return Cursor(behind=place) if found[1] == "next" else Cursor(before=place)
