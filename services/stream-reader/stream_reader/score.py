"""How popular a profile is, from its posts."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stream_reader.posts import Post

CELL: Final = ("category", "country", "age_group")
"""What popular profiles can be asked for by."""

RECENT_POSTS: Final = 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Profile = Mapping[str, Any]
"""A row of ``stream/profile_popularity``."""


def profile_of(name: str, posts: Sequence[Post], as_of: datetime, half_life_s: float) -> Profile:
    """The profile's row; one without posts has 0 of them.

    The score is the sum over its posts of ``log10(1 + followers) × 2^(-age / half life)``; the age counts from the
    first arrival of the pin. At a later time t it is ``score × 2^(-(t - as_of) / half life)``, so that a profile is
    computed again only when its posts change. ``posts`` come by ``ind``, and are summed in that order, so that the
    same posts always give the same digits. Followers are those of the newest post.
    """
    as_of_us = (as_of - _EPOCH) // timedelta(microseconds=1)
    cells: dict[tuple[str | None, ...], list[float]] = {}
    score = 0.0
    for post in posts:
        weight = math.log10(1 + post.followers) * 2.0 ** (-(as_of_us - post.arrived_us) / 1e6 / half_life_s)
        score += weight
        cell = cells.setdefault((post.category, post.country, post.age_group), [0, 0.0])
        cell[0] += 1
        cell[1] += weight
    newest = sorted(posts, key=lambda post: post.place, reverse=True)
    return {
        "poster_name": name,
        "as_of": as_of,
        "score": score,
        "posts": len(posts),
        "follower_count": newest[0].followers if newest else None,
        "last_post_at": _moment(newest[0].arrived_us) if newest else None,
        "cells": [
            {**dict(zip(CELL, key, strict=True)), "posts": int(count), "score": weight}
            for key, (count, weight) in cells.items()
        ],
        "recent_posts": [_told(post) for post in newest[:RECENT_POSTS]],
    }


def _told(post: Post) -> dict[str, Any]:
    return {
        "ind": post.ind,
        "title": post.title,
        "category": post.category,
        "country": post.country,
        "age_group": post.age_group,
        "follower_count": post.followers,
        "first_arrival": _moment(post.arrived_us),
    }


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
