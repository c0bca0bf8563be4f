"""The profile of one poster, computed from its current posts."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

Profile = Mapping[str, Any]
"""A row of ``stream/profile_popularity``."""

CELL: Final = ("category", "country", "age_group")
"""What the popular profiles can be asked for by."""
RECENT_POSTS: Final = 20
_MOST_DOUBLINGS: Final = 1_000.0
"""For an arrival in the future; a float ends at 1,024."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Post(NamedTuple):
    """The current state of one post."""

    ind: int
    title: str | None
    category: str | None
    country: str | None
    age_group: str | None
    follower_count: int
    arrived_us: int
    place: str

    @property
    def cell(self) -> tuple[str | None, str | None, str | None]:
        """See ``CELL``."""
        return self.category, self.country, self.age_group


def profile(poster: str, posts: Sequence[Post], as_of: datetime, half_life_s: float) -> Profile:
    """One row of ``stream/profile_popularity``, from the current posts of one poster, in the order of ``ind``.

    Its score is the sum over the posts of ``log10(1 + followers) × 2^(-age / half life)``; the age counts from the
    first arrival of the post's pin. It holds for one point in time, ``as_of``; at a later one, ``t``, it is
    ``score × 2^(-(t - as_of) / half life)``, so that a profile is computed again only when its posts change.
    """
    as_of_us = (as_of - _EPOCH) // timedelta(microseconds=1)
    total = 0.0
    cells: dict[tuple[str | None, str | None, str | None], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for post in posts:
        age_s = (as_of_us - post.arrived_us) / 1e6
        weight = math.log10(1 + post.follower_count) * 2.0 ** min(-age_s / half_life_s, _MOST_DOUBLINGS)
        total += weight
        count, score = cells[post.cell]
        cells[post.cell] = count + 1, score + weight
    newest = sorted(posts, key=lambda post: (post.place, post.ind), reverse=True)
    return {
        "poster_name": poster,
        "as_of": as_of,
        "score": total,
        "posts": len(posts),
        "follower_count": newest[0].follower_count if newest else None,
        "last_post_at": _moment(newest[0].arrived_us) if newest else None,
        "cells": [
            {**dict(zip(CELL, cell, strict=True)), "posts": count, "score": score}
            for cell, (count, score) in sorted(cells.items(), key=lambda item: [part or "" for part in item[0]])
        ],
        "recent_posts": [
            {
                "ind": post.ind,
                "title": post.title,
                **dict(zip(CELL, post.cell, strict=True)),
                "follower_count": post.follower_count,
                "first_arrival": _moment(post.arrived_us),
            }
            for post in newest[:RECENT_POSTS]
        ],
    }


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
