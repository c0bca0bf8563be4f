"""Profiles against sums in plain Python, which share no code with them."""

import math
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline_transforms.popularity import PROFILES, RECENT_POSTS, profiles
from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
AS_OF = datetime(2026, 1, 1, 12, tzinfo=UTC)
HALF_LIFE_S = 600.0
PLACE = "log_id string, partition string, offset string, recorded_at timestamp"
GROUPS = {10: "under 18", 17: "under 18", 18: "18-24", 24: "18-24", 25: "25-35", 36: "36-50", 50: "36-50", 51: "+50"}


class Posts:
    """Current rows of the three kinds."""

    def __init__(self) -> None:
        self.pin: list[tuple[Any, ...]] = []
        self.geo: list[tuple[Any, ...]] = []
        self.user: list[tuple[Any, ...]] = []

    def add(self, ind: int, poster: str | None, followers: int | None, age_s: float, **more: Any) -> None:
        arrived = AS_OF - timedelta(seconds=age_s)
        offset = str(more.get("offset", ind))
        self.pin.append((ind, f"title {ind}", poster, followers, more.get("category"), "log", "s", offset, arrived))
        if "country" in more:
            self.geo.append((ind, more["country"]))
        if "age" in more:
            self.user.append((ind, more["age"]))

    def computed(self, spark: SparkSession) -> dict[str, dict[str, Any]]:
        pin = spark.createDataFrame(
            self.pin, f"ind int, title string, poster_name string, follower_count long, category string, {PLACE}"
        )
        geo = spark.createDataFrame(self.geo, "ind int, country string")
        user = spark.createDataFrame(self.user, "ind int, age int")
        found = profiles(pin.repartition(3), geo, user, AS_OF, HALF_LIFE_S)
        assert found.schema.simpleString() == spark.createDataFrame([], PROFILES).schema.simpleString()
        return {row["poster_name"]: row.asDict(recursive=True) for row in found.collect()}

    def expected(self) -> dict[str, dict[str, Any]]:
        country, age = dict(self.geo), dict(self.user)
        posts = defaultdict(list)
        for ind, title, poster, followers, category, _, shard, offset, arrived in self.pin:
            if poster is not None:
                weight = math.log10(1 + (followers or 0)) * 2 ** (-(AS_OF - arrived).total_seconds() / HALF_LIFE_S)
                cell = (category, country.get(ind), GROUPS.get(age.get(ind, -1)))
                place = (arrived, shard, int(offset))
                posts[poster].append((place, ind, title, followers or 0, weight, cell))
        result = {}
        for poster, own in posts.items():
            newest = sorted(own, reverse=True)
            cells: dict[Any, list[float]] = defaultdict(list)
            for _, _, _, _, weight, cell in sorted(own, key=lambda post: post[1]):
                cells[cell].append(weight)
            result[poster] = {
                "score": math.fsum(post[4] for post in own),
                "posts": len(own),
                "follower_count": newest[0][3],
                "last_post_at": newest[0][0][0],
                "cells": {cell: (len(weights), sum(weights)) for cell, weights in cells.items()},
                "recent": [
                    (ind, title, followers, *cell, place[0]) for place, ind, title, followers, _, cell in newest
                ],
            }
        return result


def same(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    assert found.keys() == expected.keys()
    for name, row in found.items():
        wanted = expected[name]
        assert row["score"] == pytest.approx(wanted["score"], rel=1e-12)
        assert (row["posts"], row["follower_count"]) == (wanted["posts"], wanted["follower_count"])
        assert row["last_post_at"].replace(tzinfo=UTC) == wanted["last_post_at"]
        cells = {
            (cell["category"], cell["country"], cell["age_group"]): (cell["posts"], cell["score"])
            for cell in row["cells"]
        }
        assert len(cells) == len(row["cells"])
        assert cells == {
            key: (count, pytest.approx(score, rel=1e-12)) for key, (count, score) in wanted["cells"].items()
        }
        recent = [
            (post["ind"], post["title"], post["follower_count"], post["category"], post["country"], post["age_group"],
             post["first_arrival"].replace(tzinfo=UTC))
            for post in row["recent_posts"]
        ]  # fmt: skip
        assert recent == wanted["recent"][:RECENT_POSTS]


def test_many_posts(spark: SparkSession) -> None:
    rng = random.Random(7)
    posts = Posts()
    for ind in rng.sample(range(10_000), 600):
        more: dict[str, Any] = {"category": rng.choice(["art", "food", None]), "offset": rng.randrange(10**30)}
        if rng.random() < 0.8:
            more["country"] = rng.choice(["Chad", "Cuba", None])
        if rng.random() < 0.8:
            more["age"] = rng.choice([*GROUPS, None])
        poster = rng.choice(["a/b", "🙂", 'say "hi"', None, *(f"p{number}" for number in range(40))])
        posts.add(ind, poster, rng.choice([None, 0, 9, 5_000, 2**40]), rng.uniform(-5, 50_000), **more)
    same(posts.computed(spark), posts.expected())


def test_one_post_of_a_half_life_ago(spark: SparkSession) -> None:
    posts = Posts()
    posts.add(1, "a", 999, HALF_LIFE_S, category="art", country="Chad", age=30)
    (row,) = posts.computed(spark).values()
    assert row["score"] == pytest.approx(1.5)
    assert row["cells"] == [
        {"category": "art", "country": "Chad", "age_group": "25-35", "posts": 1, "score": row["score"]}
    ]


def test_followers_are_those_of_the_last_post_and_unknown_ones_are_none(spark: SparkSession) -> None:
    posts = Posts()
    posts.add(1, "a", 5_000, 10)
    posts.add(2, "a", None, 5, offset=9)
    posts.add(3, "a", 7, 5, offset=10)
    posts.add(4, "b", None, 1)
    found = posts.computed(spark)
    assert (found["a"]["follower_count"], found["b"]["follower_count"]) == (7, 0)
    assert (found["b"]["score"], found["b"]["posts"]) == (0.0, 1)


def test_the_sum_does_not_depend_on_the_order_of_rows(spark: SparkSession) -> None:
    rng = random.Random(8)
    rows = [(ind, rng.randrange(10**6), rng.uniform(0, 10_000)) for ind in range(200)]
    scores = set()
    for _ in range(3):
        rng.shuffle(rows)
        posts = Posts()
        for ind, followers, age_s in rows:
            posts.add(ind, "a", followers, age_s, category=f"c{ind % 3}")
        scores.add(posts.computed(spark)["a"]["score"])
    assert len(scores) == 1
