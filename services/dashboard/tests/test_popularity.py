"""Who is popular: ranks that moved, a service that is down, and what is shown of both."""

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dashboard.api import popular as api
from dashboard.blocks import Block
from dashboard.lake.profiles import ProfilesTable
from dashboard.lake.reader import LakeReader
from dashboard.live.looks import NoAnswerError
from dashboard.pages import popular as page
from dashboard.remote.popularity import KEPT, Popularity, Ranking
from dashboard.remote.profiles import Facet, Facets, FacetValue, OneProfile, Only, Popular, Post, Profile, StreamReader
from dashboard_frame import FrameOfTests
from dashboard_records import NOW, RecordsLake
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from service_kit.clock import ManualClock

HOSTILE = "<script>alert(1)</script>\u202eevil&name=x#"


class FakeProfiles:
    """The stream reader: says what it is told to, or does not answer."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.names: list[str] = []
        self.asked = 0
        self.down = ""
        self.hold = threading.Event()
        self.hold.set()
        self.came = threading.Event()

    def popular(self, only: Only) -> Popular:
        self._ask()
        found = [Profile(name, 10.0 - place, 2, 1_000, NOW) for place, name in enumerate(self.names)]
        return Popular(self._clock.now(), tuple(found), 3_600.0)

    def profile(self, name: str) -> OneProfile | None:
        self._ask()
        if name not in self.names:
            return None
        posts = (Post(7, HOSTILE, "art", None, "+50", 5, NOW),)
        return OneProfile(self._clock.now(), name, 1.0, 1, 1_000, posts, NOW, 3_600.0)

    def facets(self) -> Facets:
        self._ask()
        values = (FacetValue(HOSTILE, 3), FacetValue(None, 1))
        return Facets(self._clock.now(), 3, {"category": Facet(values, 0), "country": Facet((), 0)})

    def _ask(self) -> None:
        self.asked += 1
        if self.asked > 1:
            self.came.set()
        self.hold.wait(30)
        if self.down:
            raise NoAnswerError(self.down)


class World:
    def __init__(self, frame: FrameOfTests, folder: Path | None = None) -> None:
        self.clock = frame.clock
        self.service = FakeProfiles(self.clock)
        self.lake = None if folder is None else RecordsLake(folder)
        table = None if folder is None else ProfilesTable(LakeReader(str(folder)), self.clock)
        self.popularity = Popularity(self.service, table, self.clock)
        self.app = frame.app([page.blueprint(self.popularity, self.clock), api.blueprint(self.popularity, self.clock)])

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def ranks(self) -> list[tuple[str, int | None]]:
        return [(one.profile.poster_name, one.was) for one in self.block().known.ranked]

    def block(self, only: Only | None = None) -> Block[Ranking]:
        return self.popularity.popular(only or Only())


@pytest.fixture
def world(frame: FrameOfTests) -> World:
    return World(frame)


def test_ranks_are_compared_with_those_of_about_a_minute_ago(world: World) -> None:
    world.service.names = ["a", "b", "c"]
    began = world.clock.now()
    assert world.ranks() == [("a", None), ("b", None), ("c", None)]
    assert world.block().known.since is None
    world.service.names = ["c", "a", "d"]
    world.clock.sleep(30)
    assert world.ranks() == [("c", 3), ("a", 1), ("d", None)]
    assert world.block().known.since == began
    world.clock.sleep(31)
    assert world.ranks() == [("c", 3), ("a", 1), ("d", None)]
    world.clock.sleep(58)
    assert world.block().known.since == began, "the next order is not a minute old"
    world.clock.sleep(3)
    assert world.ranks() == [("c", 1), ("a", 2), ("d", 3)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.5, 200), st.permutations("abcd")), min_size=2, max_size=12))
def test_an_order_that_was_shown_before_is_compared_with(looks: list[tuple[float, list[str]]]) -> None:
    """By whatever times it is looked: ``was`` is the rank in an order of ``since``, which is over half a minute old
    as soon as it can be."""
    clock = ManualClock()
    service = FakeProfiles(clock)
    popularity = Popularity(service, None, clock)
    shown: dict[Any, list[str]] = {}
    for pause_s, names in looks:
        clock.sleep(pause_s)
        asked = service.asked
        service.names = list(names)
        found = popularity.popular(Only()).known
        if found.since is not None:
            assert [one.was for one in found.ranked] == [
                shown[found.since].index(one.profile.poster_name) + 1 for one in found.ranked
            ]
            older = [at for at in shown if (clock.now() - at).total_seconds() >= 121]
            assert not older or found.since >= max(older) or (clock.now() - found.since).total_seconds() >= 60
        if service.asked > asked:
            shown[clock.now()] = list(names)


def test_one_answer_a_filter_is_kept_for_a_second_and_only_some_filters(world: World) -> None:
    world.service.names = ["a"]
    for _ in range(5):
        world.block()
        world.block(Only(country="x"))
    assert world.service.asked == 2
    world.clock.sleep(1)
    world.block()
    assert world.service.asked == 3
    for number in range(KEPT):
        world.block(Only(category=str(number)))
    asked = world.service.asked
    world.block(Only(country="x"))
    assert world.service.asked == asked + 1, "the oldest of many was given up"


def test_who_asks_while_another_does_gets_the_last_answer_and_waits_for_nobody(world: World) -> None:
    world.service.names = ["a"]
    world.block()
    world.clock.sleep(2)
    world.service.hold.clear()
    waiting = threading.Thread(target=world.block, daemon=True)
    waiting.start()
    assert world.service.came.wait(5)
    seen: list[Block[Ranking]] = []
    looking = threading.Thread(target=lambda: seen.append(world.block()), daemon=True)
    looking.start()
    looking.join(5)
    assert [block.known.ranked[0].profile.poster_name for block in seen] == ["a"]
    assert world.service.asked == 2
    world.service.hold.set()
    waiting.join(5)


def test_a_service_that_is_down_leaves_its_last_answer_and_is_not_asked_at_every_view(world: World) -> None:
    world.service.names = ["a", HOSTILE]
    fresh = world.block()
    world.clock.sleep(5)
    world.service.down = "nothing answers at x:1"
    stale = world.block()
    assert (stale.state, stale.value, stale.as_of) == ("stale", fresh.value, fresh.as_of)
    assert "nothing answers at x:1" in stale.why
    asked = world.service.asked
    world.block()
    assert world.service.asked == asked
    page = world.client.get("/popular").text
    assert "Not updated:" in page
    assert "nothing answers at x:1" in page
    world.clock.sleep(2)
    world.service.down = ""
    assert world.block().state == "fresh"


def test_the_table_is_told_where_the_service_never_answered(frame: FrameOfTests, tmp_path: Path) -> None:
    world = World(frame, tmp_path)
    world.service.down = "no answer"
    assert (world.block().state, world.popularity.profile("o'b").state) == ("error", "error")
    assert world.client.get("/popular").status_code == 200
    assert world.lake is not None
    cells = [
        {"category": "art", "country": "it's", "age_group": "+50", "posts": 2, "score": 3.0},
        {"category": "food", "country": "it's", "age_group": None, "posts": 1, "score": 1.0},
    ]
    world.lake.profiles(
        {"poster_name": "o'b", "score": 4.0, "posts": 3, "cells": cells, "as_of": frame.clock.now(), "recent_posts": [
            {"ind": 5, "title": HOSTILE, "first_arrival": NOW}]},
        {"poster_name": "older", "score": 6.0, "posts": 1, "as_of": frame.clock.now() - timedelta(hours=1)},
        {"poster_name": "gone", "score": 0.0, "posts": 0, "as_of": frame.clock.now()},
    )  # fmt: skip
    world.clock.sleep(3)
    block = world.block()
    assert (block.state, block.known.from_table) == ("stale", True)
    assert [one.profile.poster_name for one in block.known.ranked] == ["o'b", "older"]
    assert block.known.ranked[1].profile.score == pytest.approx(3.0, rel=0.01)
    some = world.block(Only(category="art", country="it's")).known.ranked
    assert [(one.profile.poster_name, one.profile.posts) for one in some] == [("o'b", 2)]
    assert world.block(Only(country="x' OR 'a'='a")).known.ranked == ()
    text = world.client.get("/popular/profile?name=o'b").text
    assert "table in the lake" in text
    assert 'href="/records?kind=pin&amp;key=5"' in text
    assert "<script>alert" not in text


def test_page_and_api_tell_the_same_and_names_are_text(world: World) -> None:
    world.service.names = ["a", HOSTILE]
    answer = world.client.get("/api/v1/popular?limit=3").get_json()
    assert [(one["rank"], one["poster_name"]) for one in answer["profiles"]] == [(1, "a"), (2, HOSTILE)]
    shown = answer["shown"]
    assert (shown["2.state"], shown["3.state"], shown["1.change"]) == ("shown", "none", "–")
    world.service.names = [HOSTILE, "b"]
    world.clock.sleep(5)
    moved = world.client.get("/api/v1/popular?limit=3").get_json()["shown"]
    assert (moved["1.change"], moved["1.moved"], moved["2.change"]) == ("▲ 1", "up", "new")
    world.service.names = ["a", HOSTILE]
    world.clock.sleep(5)
    answer = world.client.get("/api/v1/popular?limit=3").get_json()
    text = world.client.get("/popular?limit=3").text
    assert "<script>alert" not in text
    assert "\u202e" not in text + str(answer["shown"].values())
    assert text.count('<tr data-live-state="') == 3
    link = answer["shown"]["2.link"]
    assert link.replace("&", "&amp;") in text
    assert world.client.get(link).status_code == 200
    assert (
        world.client.get("/api" + link.replace("/popular/profile", "/v1/profiles")).get_json()["profile"]["poster_name"]
        == HOSTILE
    )
    assert world.client.get("/api/v1/facets").get_json()["facets"]["category"]["values"][0]["value"] == HOSTILE


def test_what_is_not_there(world: World) -> None:
    assert "pipeline send" in world.client.get("/popular").text
    assert "match" in world.client.get("/popular?category=x").text
    for path in ("/popular/profile?name=x", "/api/v1/profiles?name=x"):
        assert world.client.get(path).status_code == 404
    for path in ("/popular/profile", "/popular?limit=101", "/popular?age_group=x", f"/popular?country={'x' * 501}"):
        assert world.client.get(path).status_code == 400
    world.service.down = "no answer"
    world.clock.sleep(20)
    assert world.client.get("/popular").status_code == 200
    assert world.client.get("/api/v1/facets").get_json()["state"] == "stale"


def test_a_clock_that_is_set_back_begins_the_comparison_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.service.names = ["a", "b"]
    world.block()
    world.clock.sleep(3_600)
    world.block()
    monkeypatch.setattr(world.clock, "_start", NOW - timedelta(days=2))
    for _ in range(2):
        world.clock.sleep(30)
        since = world.block().known.since
    assert since is not None
    assert since <= world.clock.now()


def test_a_name_of_any_length_makes_no_page_long(world: World) -> None:
    world.service.names = ["x" * 1_000_000]
    assert len(world.client.get("/popular").text) < 50_000
    assert world.client.get("/api/v1/popular").get_json()["shown"]["1.link"] == "/popular"


_WHOLE = st.integers() | st.just(10**400)
_TIMES = st.sampled_from(
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
)


@settings(deadline=None, max_examples=30)
@given(as_of=_TIMES, last=_TIMES, count=_WHOLE, score=st.floats(allow_nan=False, allow_infinity=False), name=st.text())
def test_no_answer_of_the_service_makes_a_page_fail(as_of: str, last: str, count: int, score: float, name: str) -> None:
    common = {"poster_name": name, "score": score, "posts": count, "follower_count": count, "last_post_at": last}
    post = {"ind": count, "title": name, "follower_count": count, "first_arrival": last}
    popular = {"as_of": as_of, "profiles": [common], "half_life_s": score}
    profile = {**common, "as_of": as_of, "recent_posts": [post], "half_life_s": score}
    facets = {"as_of": as_of, "profiles": count, "facets": {name: {"values": [], "left_out": count}}}

    def ask(url: str, *_: object) -> tuple[int, bytes]:
        return 200, json.dumps(popular if "popular" in url else facets if "facets" in url else profile).encode()

    frame = FrameOfTests()
    popularity = Popularity(StreamReader("http://x"), None, frame.clock)
    client = frame.app([page.blueprint(popularity, frame.clock), api.blueprint(popularity, frame.clock)]).test_client()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashboard.remote.profiles.ask", ask)
        for path in ("popular", "popular/profile?name=x", "api/v1/popular", "api/v1/profiles?name=x", "api/v1/facets"):
            assert client.get(f"/{path}").status_code == 200, path


def test_a_service_that_answers_nonsense_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StreamReader("http://x")
    for status, body in ((200, b"[]"), (200, b"\xff"), (200, b'{"as_of": 1}'), (500, b"{}"), (200, b"[" * 100_000)):
        monkeypatch.setattr("dashboard.remote.profiles.ask", lambda *_, s=status, b=body: (s, b))
        for ask in (lambda: reader.popular(Only()), lambda: reader.profile("x"), reader.facets):
            with pytest.raises(NoAnswerError):
                ask()
