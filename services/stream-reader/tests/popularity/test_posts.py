"""The file of posts, against sums in plain Python that share no code with it."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_contracts.names import Kind
from post_rows import AS_OF, Row, pin, row, table
from stream_reader.popularity.posts import Covered, Posts
from stream_reader.popularity.scores import RECENT_POSTS

HALF_LIFE_S = 600.0
GROUPS = {10: "under 18", 17: "under 18", 18: "18-24", 24: "18-24", 25: "25-35", 36: "36-50", 50: "36-50", 51: "+50"}
COVERED = Covered({"stream/t_pin_table": ("id", 7)}, "profiles", HALF_LIFE_S)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "posts.sqlite"


@pytest.fixture
def posts(file: Path) -> Iterator[Posts]:
    made = Posts(file)
    yield made
    made.close()


def told(posts: Posts) -> dict[str, Row]:
    return {profile["poster_name"]: dict(profile) for profile in posts.profiles(posts.posters(), AS_OF, HALF_LIFE_S)}


class Expected:
    """What happened, and what must come of it: every content's first record counts, the latest of these most."""

    def __init__(self) -> None:
        self.rows: dict[Kind, list[Row]] = {"pin": [], "geo": [], "user": []}

    def current(self, kind: Kind) -> dict[int, Row]:
        def place(one: Row) -> tuple[Any, ...]:
            return one["recorded_at"], one["partition"], int(one["offset"]), one["log_id"]

        first: dict[tuple[int, str], Row] = {}
        for one in sorted(self.rows[kind], key=place):
            first.setdefault((one["ind"], one["content_hash"]), one)
        found: dict[int, Row] = {}
        for one in sorted(first.values(), key=place):
            found[one["ind"]] = one
        return found

    def profiles(self) -> dict[str, Row]:
        geo, user = self.current("geo"), self.current("user")
        own = defaultdict(list)
        for ind, one in self.current("pin").items():
            if one["poster_name"] is not None:
                followers = one["follower_count"] or 0
                age_s = (AS_OF - one["recorded_at"]).total_seconds()
                weight = math.log10(1 + followers) * 2 ** (-age_s / HALF_LIFE_S)
                cell = (
                    one.get("category"),
                    geo.get(ind, {}).get("country"),
                    GROUPS.get(user.get(ind, {}).get("age") or 0),
                )
                place = (one["recorded_at"], one["partition"], int(one["offset"]))
                own[one["poster_name"]].append((place, ind, one["title"], followers, weight, cell))
        result = {}
        for poster, entries in own.items():
            newest = sorted(entries, reverse=True)
            cells: dict[Any, list[float]] = defaultdict(list)
            for _, _, _, _, weight, cell in entries:
                cells[cell].append(weight)
            result[poster] = {
                "score": math.fsum(entry[4] for entry in entries),
                "posts": len(entries),
                "follower_count": newest[0][3],
                "last_post_at": newest[0][0][0],
                "cells": {cell: (len(weights), math.fsum(weights)) for cell, weights in cells.items()},
                "recent": [(ind, title, followers, *cell, at[0]) for at, ind, title, followers, _, cell in newest],
            }
        return result


def same(found: dict[str, Row], expected: dict[str, Row]) -> None:
    assert found.keys() == expected.keys()
    for name, one in found.items():
        wanted = expected[name]
        assert one["as_of"] == AS_OF
        assert one["score"] == pytest.approx(wanted["score"], rel=1e-12)
        for column in ("posts", "follower_count", "last_post_at"):
            assert one[column] == wanted[column]
        cells = {
            (cell["category"], cell["country"], cell["age_group"]): (cell["posts"], cell["score"])
            for cell in one["cells"]
        }
        assert len(cells) == len(one["cells"])
        assert cells == {
            key: (count, pytest.approx(score, rel=1e-12)) for key, (count, score) in wanted["cells"].items()
        }
        recent = [
            (post["ind"], post["title"], post["follower_count"], post["category"], post["country"], post["age_group"],
             post["first_arrival"])
            for post in one["recent_posts"]
        ]  # fmt: skip
        assert recent == wanted["recent"][:RECENT_POSTS]


def test_whatever_arrives_in_whatever_order_and_portions(file: Path) -> None:
    """Versions, also by other posters, replays, rows late or never, portions again, other processes in between."""
    rng = random.Random(7)
    for _ in range(20):
        expected, arrivals = Expected(), []
        for number in range(300):
            ind, place = rng.randrange(60), {"offset": 10 ** rng.randrange(25) + number, "shard": rng.choice("st")}
            kind: Kind = rng.choice(("pin", "pin", "geo", "user"))
            age_s = float(rng.randrange(-5, 40))
            if kind == "pin":
                poster = rng.choice(["a/b", "🙂", 'say "hi"', None, *(f"p{each}" for each in range(8))])
                followers = rng.choice([None, 0, 9, 5_000, 2**40])
                one = pin(ind, poster, followers, age_s, category=rng.choice(["art", "food", None]), **place)
            elif kind == "geo":
                one = row(ind, age_s, country=rng.choice(["Chad", "Cuba", None]), **place)
            else:
                one = row(ind, age_s, age=rng.choice([*GROUPS, None]), **place)
            arrivals.append((kind, one))
            expected.rows[kind].append(one)
        arrivals += rng.sample(arrivals, 50)
        rng.shuffle(arrivals)
        shown: dict[str, Row] = {}
        posts = Posts(file)
        posts.clear()
        while arrivals:
            part = [arrivals.pop() for _ in range(min(len(arrivals), rng.randrange(1, 60)))]
            changed = posts.put([(kind, table(kind, [one])) for kind, one in part])
            assert changed <= set(posts.changed())
            # What is told to have changed is all that has: the rest stays as it was computed before.
            shown |= {one["poster_name"]: dict(one) for one in posts.profiles(changed, AS_OF, HALF_LIFE_S)}
            if rng.random() < 0.3:
                posts.close()
                posts = Posts(file)
        assert told(posts) == {name: one for name, one in shown.items() if name in set(posts.posters())}
        same({name: one for name, one in shown.items() if one["posts"]}, expected.profiles())
        posts.close()


def test_one_post_of_a_half_life_ago(posts: Posts) -> None:
    posts.put(
        [
            ("pin", table("pin", [pin(1, "a", 999, HALF_LIFE_S, category="art")])),
            ("geo", table("geo", [row(1, country="Chad")])),
            ("user", table("user", [row(1, age=30)])),
        ]
    )
    (one,) = told(posts).values()
    assert one["score"] == pytest.approx(1.5)
    assert one["cells"] == [
        {"category": "art", "country": "Chad", "age_group": "25-35", "posts": 1, "score": one["score"]}
    ]


def test_followers_are_those_of_the_last_post_and_unknown_ones_are_none(posts: Posts) -> None:
    rows = [pin(1, "a", 5_000, 10), pin(2, "a", None, 5, offset=9), pin(3, "a", 7, 5, offset=10), pin(4, "b", None, 1)]
    posts.put([("pin", table("pin", rows))])
    found = told(posts)
    assert (found["a"]["follower_count"], found["b"]["follower_count"]) == (7, 0)
    assert (found["b"]["score"], found["b"]["posts"]) == (0.0, 1)


def test_a_poster_whose_only_post_becomes_anothers_has_none(posts: Posts) -> None:
    posts.put([("pin", table("pin", [pin(1, "a", 9, 10)]))])
    assert posts.put([("pin", table("pin", [pin(1, "b", 9, 5)]))]) == {"a", "b"}
    found = told(posts)
    assert (found["a"]["posts"], found["a"]["follower_count"], found["a"]["cells"]) == (0, None, [])
    assert found["b"]["posts"] == 1


def test_an_arrival_far_in_the_future_has_a_score(posts: Posts) -> None:
    posts.put([("pin", table("pin", [pin(1, "a", 9, -(10**9))]))])
    assert math.isfinite(told(posts)["a"]["score"])


def test_what_changed_is_known_until_it_is_stored(file: Path) -> None:
    posts = Posts(file)
    posts.put([("pin", table("pin", [pin(1, "a", 9, 0), pin(2, "b", 9, 0)]))])
    posts.stored(["a"])
    posts.touch(["c"])
    posts.cover(COVERED)
    posts.close()
    after = Posts(file)
    assert after.changed() == ["b", "c"]
    assert after.changed(1) == ["b"]
    assert after.covered() == COVERED
    after.cover(Covered({}, "", 1.0))
    assert after.covered() == Covered({}, "", 1.0)
    after.clear()
    assert (after.changed(), after.posters(), after.covered()) == ([], [], None)


def test_rows_that_cannot_be_taken_in_change_nothing(posts: Posts) -> None:
    good = ("pin", table("pin", [pin(1, "a", 9, 0)]))
    bad = ("geo", table("geo", [row(1, country="Chad")]).drop_columns(["country"]))
    with pytest.raises(KeyError):
        posts.put([good, bad])  # type: ignore[list-item]
    assert (posts.posters(), posts.changed()) == ([], [])
    posts.put([good])  # type: ignore[list-item]
    assert posts.posters() == ["a"]
