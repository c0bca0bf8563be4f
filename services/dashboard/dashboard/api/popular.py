"""``/api/v1/popular``, ``/profiles``, ``/facets``: what the stream reader says of profiles, and how ranks changed."""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response
from service_kit.clock import Clock
from service_kit.inert import visible

from dashboard.api.frame import answer, bad, described, missing, one_of, parameters, whole
from dashboard.blocks import Block
from dashboard.lake.answers import AGE_GROUPS
from dashboard.remote.popularity import Popularity, Ranked, Ranking
from dashboard.remote.profiles import FILTERS, MOST, Only
from dashboard.words import NONE, age, iso, moment, number, shortened

DEFAULT_LIMIT: Final = 20
_CHARS: Final = 500
_SHOWN: Final = 200
"""Characters of a name in a row: the beginning and the end of a longer one."""


def blueprint(popularity: Popularity, clock: Clock) -> Blueprint:
    """Their routes. A view waits about a second at most, and only for what nobody has asked for before."""
    made = Blueprint("api_popular", __name__)

    def popular() -> Response:
        only, limit = asked()
        block = popularity.popular(only)
        found = block.value
        return answer(
            {
                **described(block),
                "half_life_s": None if found is None else found.half_life_s,
                "since": None if found is None or found.since is None else iso(found.since),
                "from_table": found is not None and found.from_table,
                "profiles": [_document(one) for one in (() if found is None else found.ranked[:limit])],
                "shown": shown(block, limit, clock),
            }
        )

    def profiles() -> Response:
        name = profile_name()
        block = popularity.profile(name)
        if block.state == "empty":
            raise missing("there is no profile of this name")
        found = block.value
        return answer({**described(block), "profile": None if found is None else msgspec.to_builtins(found)})

    def facets() -> Response:
        parameters()
        block = popularity.facets()
        found = block.value
        return answer(
            {
                **described(block),
                "profiles": None if found is None else found.profiles,
                "facets": {} if found is None else msgspec.to_builtins(found.facets),
            }
        )

    for path, view in (("popular", popular), ("profiles", profiles), ("facets", facets)):
        made.add_url_rule(f"/api/v1/{path}", path, view, methods=["GET"])
    return made


def asked() -> tuple[Only, int]:
    """The filter and the limit of a request; an empty filter is none.

    Raises:
        RefusedError: with 400.
    """
    given = parameters(*FILTERS, "limit")
    limit = whole(given, "limit", DEFAULT_LIMIT, MOST)
    group = one_of(given, "age_group", "", AGE_GROUPS)
    for name in FILTERS:
        _short(name, given.get(name, ""))
    return Only(given.get("category") or None, given.get("country") or None, group or None), limit


def profile_name() -> str:
    """The name that a request asks for.

    Raises:
        RefusedError: with 400.
    """
    name = parameters("name").get("name", "")
    if not name:
        raise bad("the parameter name is missing")
    _short("name", name)
    return name


def shown(block: Block[Ranking], limit: int, clock: Clock) -> dict[str, str]:
    """The texts of the page that move: those of row 1 begin with ``1.``. What there is not is empty."""
    found = block.value
    now = clock.now()
    ranked = () if found is None else found.ranked[:limit]
    texts = {
        "state": block.state,
        "why": "" if block.state == "fresh" else visible(block.why),
        "as_of": "" if block.as_of is None else moment(block.as_of, now),
        "since": "from the next look on"
        if found is None or found.since is None
        else f"since {moment(found.since, now)}",
    }
    for rank in range(1, limit + 1):
        compared = found is not None and found.since is not None
        row = _texts(ranked[rank - 1], clock, compared=compared) if rank <= len(ranked) else dict.fromkeys(_COLUMNS, "")
        texts |= {f"{rank}.{column}": text for column, text in row.items()}
        texts[f"{rank}.state"] = "shown" if rank <= len(ranked) else "none"
    return texts


_COLUMNS: Final = ("name", "link", "change", "moved", "score", "posts", "followers", "last")


def _texts(one: Ranked, clock: Clock, *, compared: bool) -> dict[str, str]:
    """``compared``: whether there was an earlier look to compare with."""
    profile = one.profile
    last = profile.last_post_at
    moved = "new" if one.was is None else "up" if one.was > one.rank else "down" if one.was < one.rank else "same"
    return {
        "name": shortened(visible(profile.poster_name), _SHOWN),
        "link": "/popular"
        if len(profile.poster_name) > _CHARS
        else f"/popular/profile?{urlencode({'name': profile.poster_name}, errors='replace')}",
        "change": _change(one) if compared else NONE,
        "moved": moved if compared else "same",
        "score": f"{profile.score:,.2f}",
        "posts": number(profile.posts),
        "followers": number(profile.follower_count),
        "last": NONE if last is None else f"{age((clock.now() - last).total_seconds())} ago",
    }


def _change(one: Ranked) -> str:
    if one.was is None:
        return "new"
    if one.was == one.rank:
        return "="
    return f"▲ {one.was - one.rank}" if one.was > one.rank else f"▼ {one.rank - one.was}"


def _document(one: Ranked) -> dict[str, Any]:
    return {"rank": one.rank, "was": one.was, **msgspec.to_builtins(one.profile)}


def _short(name: str, text: str) -> None:
    if len(text) > _CHARS:
        raise bad(f"{name} is longer than {_CHARS} characters")
