"""The stream reader's API."""

import random
from typing import Any

from fuzzing import odd
from fuzzing.place import Place
from fuzzing.request import Request
from fuzzing.web import Target, WebSurface, coded

GETS = (
    "profiles/popular", "profiles/popular?limit=20&category=art&country=Malta&age_group=18-24",
    "profiles?name=poster%201",
    "queries", "latencies", "facets",
)  # fmt: skip


def surface(place: Place) -> WebSurface:
    """Profiles, queries, latencies."""
    seeds: list[Any] = [(Request("GET", f"/v1/{path}"), None) for path in GETS]
    seeds += [(Request("POST", f"/v1/{path}"), anything) for path in ("profiles", "queries")]
    return WebSurface(Target(place.urls["stream-reader"], coded, place.secrets), seeds)


def anything(chance: random.Random) -> Any:
    """A body where none is expected."""
    return odd.value(chance)
