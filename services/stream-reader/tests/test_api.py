"""The API and its description."""

import json
import math
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, settings
from pipeline_contracts.names import KINDS, Kind, Names
from prometheus_client import CollectorRegistry
from schemathesis import GenerationMode
from service_kit.clock import ManualClock
from service_kit.ops import Ops
from service_kit.retries import RetryPolicy
from stream_reader.api import MAX_LIMIT, Operations, create_app
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.index import Index
from stream_reader.queries.fake_streams import FakeStreams
from stream_reader.queries.fakes import FakeLaunch
from stream_reader.queries.query import Limits, StreamQuery
from stream_reader.queries.rejects import RejectWindow
from werkzeug.test import TestResponse

NAMES = ["a/b", 'say "hi"', "🙂 emoji", "?&=#%+", "ßé"]


class Service:
    """The application over fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        metrics = Metrics(CollectorRegistry())
        self.index = Index(3_600.0)
        for place, name in enumerate(NAMES):
            self.index.put([self.profile(name, float(place + 1), "art" if place % 2 else None)])
        streams = FakeStreams(**{Names().stream(kind): 1.0 for kind in KINDS})
        self.queries: dict[Kind, StreamQuery] = {
            kind: StreamQuery(
                kind,
                stream=Names().stream(kind),
                streams=streams,
                launch=FakeLaunch(self.clock),
                rejects=RejectWindow(1_000, 0.5, self.clock),
                retries=RetryPolicy(math.inf, clock=self.clock),
                limits=Limits(5, 60, 1),
                metrics=metrics,
            )
            for kind in KINDS
        }
        self.latencies = {
            "table": Latencies(metrics.table_latency),
            "popularity": Latencies(metrics.popularity_latency),
        }
        self.app = create_app(self.index, self.clock, Operations(self.queries, self.latencies))

        ops = Ops("stream-reader", {"check": lambda: "fine"}, CollectorRegistry())
        self.app.wsgi_app = ops.in_front_of(self.app.wsgi_app)  # type: ignore[assignment, method-assign]

    def profile(self, name: str, score: float, category: str | None) -> dict[str, Any]:
        post = {"ind": 1, "title": "t", "category": category, "country": None, "age_group": None, "follower_count": 2}
        cell = {"category": category, "country": "Côte d'Ivoire", "age_group": "+50", "posts": 3, "score": score}
        return {
            "poster_name": name,
            "as_of": self.clock.now(),
            "score": score,
            "posts": 3,
            "follower_count": 7,
            "last_post_at": self.clock.now(),
            "cells": [cell],
            "recent_posts": [{**post, "first_arrival": self.clock.now() - timedelta(microseconds=1)}],
        }


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.app.test_client()


def names(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.data
    return [profile["poster_name"] for profile in answer.get_json()["profiles"]]


def test_popular_profiles(client: FlaskClient, service: Service) -> None:
    service.clock.sleep(3_600)
    answer = client.get("/v1/profiles/popular?limit=2")
    document = answer.get_json()
    assert (document["as_of"], document["half_life_s"]) == ("2026-01-01T01:00:00.000Z", 3_600)
    assert document["profiles"][0] == {
        "poster_name": "ßé",
        "score": 2.5,
        "posts": 3,
        "follower_count": 7,
        "last_post_at": "2026-01-01T00:00:00.000Z",
    }
    assert names(answer) == ["ßé", "?&=#%+"]


def test_filters(client: FlaskClient) -> None:
    assert names(client.get("/v1/profiles/popular?category=art")) == ["?&=#%+", 'say "hi"']
    assert names(client.get("/v1/profiles/popular?category=art&country=C%C3%B4te%20d'Ivoire&age_group=%2B50")) == [
        "?&=#%+",
        'say "hi"',
    ]
    assert names(client.get("/v1/profiles/popular?category=&country=&age_group=")) == NAMES[::-1]
    assert names(client.get("/v1/profiles/popular?category=none")) == []


def test_facets_are_what_filters_take(client: FlaskClient) -> None:
    answer = client.get("/v1/facets")
    assert (answer.status_code, answer.get_json()["profiles"], answer.get_json()["as_of"][:10]) == (
        200,
        5,
        "2026-01-01",
    )
    facets = answer.get_json()["facets"]
    assert facets == {
        "category": {"values": [{"value": "art", "profiles": 2}], "left_out": 0},
        "country": {"values": [{"value": "Côte d'Ivoire", "profiles": 5}], "left_out": 0},
        "age_group": {"values": [{"value": "+50", "profiles": 5}], "left_out": 0},
    }
    for key, found in facets.items():
        for one in found["values"]:
            assert len(names(client.get("/v1/profiles/popular", query_string={key: one["value"]}))) == one["profiles"]


def test_facets_are_bounded(client: FlaskClient, service: Service) -> None:
    service.index.put([service.profile(f"p{number}", 1.0, f"made up {number}") for number in range(MAX_LIMIT + 5)])
    found = client.get(f"/v1/facets?limit={MAX_LIMIT}").get_json()["facets"]["category"]
    assert (len(found["values"]), found["left_out"]) == (MAX_LIMIT, 6)
    assert found["values"][0] == {"value": "art", "profiles": 2}
    assert len(client.get("/v1/facets").get_json()["facets"]["category"]["values"]) == 300


@pytest.mark.parametrize(
    ("query", "said"),
    [
        *(
            (f"limit={value}", "limit must be")
            for value in ("", "0", "-1", "x", "1.5", "٣", str(MAX_LIMIT + 1), "9" * 5000)
        ),
        ("limit=1&limit=2", "given 2 times"),
        ("colour=red", "there is no parameter 'colour'; there are limit, category, country, age_group"),
        ("age_group=50%2B", "age_group must be one of under 18, 18-24"),
        ("age_group=+50", "a + is written %2B"),
    ],
)
def test_bad_parameters_are_named(client: FlaskClient, query: str, said: str) -> None:
    answer = client.get(f"/v1/profiles/popular?{query}")
    assert (answer.status_code, answer.get_json()["error_code"]) == (400, 400)
    assert said in answer.get_json()["message"]


@pytest.mark.parametrize("name", NAMES)
def test_one_profile_of_any_name(client: FlaskClient, name: str) -> None:
    document = client.get(f"/v1/profiles?name={quote(name, safe='')}").get_json()
    assert document["poster_name"] == name
    assert document["recent_posts"][0]["first_arrival"] == "2025-12-31T23:59:59.999Z"


@pytest.mark.parametrize(("query", "status"), [("", 400), ("?name=", 400), ("?name=a&x=1", 400), ("?name=nobody", 404)])
def test_no_profile(client: FlaskClient, query: str, status: int) -> None:
    answer = client.get(f"/v1/profiles{query}")
    assert (answer.status_code, answer.get_json()["error_code"]) == (status, status)


def test_states_and_latencies(client: FlaskClient, service: Service) -> None:
    service.queries["pin"].step()
    states = {one["kind"]: one["state"] for one in client.get("/v1/queries").get_json()["queries"]}
    assert states == {"pin": "running", "geo": "starting", "user": "starting"}
    service.latencies["table"].add([5.0])
    assert client.get("/v1/latencies").get_json() == {
        "table": {"count": 1, "p50_ms": 5.0, "p95_ms": 5.0},
        "popularity": {"count": 0, "p50_ms": None, "p95_ms": None},
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("POST", "/v1/profiles", 405), ("POST", "/v1/queries", 405)],
)
def test_other_requests(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.get_json()["error_code"]) == (status, status)


def test_answers_over_a_hundred_thousand_profiles_come_in_time(service: Service, client: FlaskClient) -> None:
    service.index.put(service.profile(f"poster {number}", 1 / (number + 1), "art") for number in range(100_000))
    for query in ("", "&category=art", "&age_group=%2B50&country=C%C3%B4te%20d'Ivoire"):
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            assert len(names(client.get(f"/v1/profiles/popular?limit=100{query}"))) == 100
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 0.1, query


_service = Service()
schema = schemathesis.openapi.from_wsgi("/openapi.json", _service.app)
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schema.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_to_its_description(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()


def test_every_route_is_described(service: Service, client: FlaskClient) -> None:
    document = json.loads(client.get("/openapi.json").data)
    told = {(path, verb.upper()) for path, item in document["paths"].items() for verb in item}
    routes = {
        (rule.rule, verb) for rule in service.app.url_map.iter_rules() for verb in (rule.methods or set()) - {"HEAD"}
    }
    assert told == routes | {(path, "GET") for path in ("/livez", "/readyz", "/version", "/metrics")}
