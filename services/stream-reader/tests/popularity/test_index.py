"""The index against sums in plain Python."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stream_reader.popularity.index import Index

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HALF_LIFE_S = 3_600.0
NAMES = ["a/b", 'say "hi"', "it's", "🙂 emoji", "nul\u00a0", "ßé", "?&=#%", "..", " "]


def profile(
    name: str, cells: list[tuple[Any, ...]], as_of: datetime = NOW, followers: int | None = 5
) -> dict[str, Any]:
    made = [dict(zip(("category", "country", "age_group", "posts", "score"), cell, strict=True)) for cell in cells]
    return {
        "poster_name": name,
        "as_of": as_of,
        "score": sum(cell["score"] for cell in made),
        "posts": sum(cell["posts"] for cell in made),
        "follower_count": followers,
        "last_post_at": as_of,
        "cells": made,
        "recent_posts": [{"ind": 1, "title": name, "first_arrival": as_of}] if made else [],
    }


def some(rng: random.Random, name: str) -> dict[str, Any]:
    keys = {
        (
            rng.choice(["art", "food", "crafts", None]),
            rng.choice(["Chad", "Cuba", None]),
            rng.choice(["18-24", "+50", None]),
        )
        for _ in range(rng.randrange(4))
    }
    cells = [(*key, rng.randrange(1, 5), rng.random() * 100) for key in sorted(keys, key=repr)]
    return profile(name, cells, NOW - timedelta(seconds=rng.randrange(10_000)))


def expected(profiles: dict[str, dict[str, Any]], at: datetime, limit: int, only: dict[str, str]) -> list[Any]:
    found = []
    for name, row in profiles.items():
        cells = [cell for cell in row["cells"] if all(cell[key] == value for key, value in only.items())]
        decay = 2 ** (-(at - row["as_of"]).total_seconds() / HALF_LIFE_S)
        if cells:
            score = sum(cell["score"] for cell in cells) * decay
            found.append((name, pytest.approx(score), sum(cell["posts"] for cell in cells), score))
    return [one[:3] for one in sorted(found, key=lambda one: (-one[3], one[0]))[:limit]]


def facets(profiles: dict[str, dict[str, Any]], limit: int) -> dict[str, Any]:
    found = {}
    for key in ("category", "country", "age_group"):
        counts = Counter(
            value for row in profiles.values() for value in {cell[key] for cell in row["cells"]} if value is not None
        )
        ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        found[key] = (ranked[:limit], len(ranked[limit:]))
    return found


def test_whatever_comes_the_sums_are_those_of_the_last_rows() -> None:
    rng = random.Random(3)
    index, profiles = Index(HALF_LIFE_S), dict[str, dict[str, Any]]()
    for step in range(300):
        rows = [some(rng, rng.choice([*NAMES, f"p{rng.randrange(30)}"])) for _ in range(rng.randrange(1, 5))]
        index.put(rows)
        profiles.update({row["poster_name"]: row for row in rows})
        profiles = {name: row for name, row in profiles.items() if row["posts"]}
        assert len(index) == len(profiles)
        only = {
            key: value
            for key, value in (("category", "art"), ("country", "Cuba"), ("age_group", "+50"))
            if rng.random() < 0.4
        }
        at, limit = NOW + timedelta(seconds=step), rng.choice([1, 3, 100])
        found = [(row["poster_name"], row["score"], row["posts"]) for row in index.popular(at, limit, only)]
        assert found == expected(profiles, at, limit, only)
        assert index.facets(2) == facets(profiles, 2)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_found(name: str) -> None:
    index = Index(HALF_LIFE_S)
    index.put([profile(one, [("art", "Chad", None, 2, 8.0)]) for one in NAMES])
    found = index.get(name, NOW + timedelta(hours=1))
    assert found == {
        "poster_name": name,
        "score": 4.0,
        "posts": 2,
        "follower_count": 5,
        "last_post_at": "2026-01-01T00:00:00.000Z",
        "recent_posts": [{"ind": 1, "title": name, "first_arrival": "2026-01-01T00:00:00.000Z"}],
    }
    assert index.get(name + "x", NOW) is None


def test_equal_scores_by_name() -> None:
    index = Index(HALF_LIFE_S)
    index.put([profile(name, [(None, None, None, 1, 0.0)], followers=None) for name in ("c", "a", "b")])
    assert [(row["poster_name"], row["follower_count"]) for row in index.popular(NOW, 2, {})] == [("a", 0), ("b", 0)]


def test_a_value_nobody_has() -> None:
    index = Index(HALF_LIFE_S)
    index.put([profile("a", [("art", None, None, 1, 1.0)])])
    assert index.popular(NOW, 5, {"country": "Atlantis"}) == []
    assert index.popular(NOW, 5, {"country": "Atlantis", "category": "art"}) == []
    assert Index(HALF_LIFE_S).popular(NOW, 5, {}) == []


def test_what_cannot_be_asked_for_is_no_facet() -> None:
    index = Index(HALF_LIFE_S)
    index.put([profile("a", [("", None, "+50", 1, 1.0)])])
    assert index.facets(9) == {"category": ([], 0), "country": ([], 0), "age_group": ([("+50", 1)], 0)}
    index.put([profile("a", [])])
    assert {key: found.values for key, found in index.facets(9).items()} == {
        "category": [], "country": [], "age_group": [],
    }  # fmt: skip
    assert Index(HALF_LIFE_S).facets(1)["country"] == ([], 0)
