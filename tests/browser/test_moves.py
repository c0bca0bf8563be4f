"""What moves without anybody's doing: an event that is sent, a service that goes and comes back."""

import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from browser import LIVE_MS, Tab
from outages import hung, port_is_taken
from pipeline_contracts.names import Names
from playwright.sync_api import expect
from stack import Stack
from waiting import wait_until

DOWN_MS = 20_000
BACK_S = 90
STATIONS = {
    "proxy": ["proxy"],
    "kafka": ["kafka"],
    "localstack": ["gateway", "s3", "kinesis"],
    "s3-sink": ["s3-sink"],
    "analyser": ["analyser"],
    "stream-reader": ["stream-reader", "popularity"],
    "mirror": ["mirror"],
}
"""Which stations of the Overview a service stands for."""
SLOW = {"localstack", "analyser", "stream-reader"}
"""These are away for long enough as they are; where their port is taken, they take minutes to see it."""
USER = {"ind": 700_001, "first_name": "Ana", "last_name": "Lee", "age": 36, "date_joined": "2015-12-08T20:02:43"}


def post(stack: Stack, path: str) -> None:
    """One event through the gateway, as any sender's."""
    env = stack.json("env")
    names = Names("pinterest")
    if path == "batch":
        where, method = f"/topics/{names.topic('user')}", "POST"
        body, kind = {"records": [{"key": "700001", "value": USER}]}, "application/vnd.kafka.json.v2+json"
    else:
        where, method = f"/streams/{names.stream('user')}/records", "PUT"
        body = {"records": [{"data": USER, "partition-key": "700001"}]}
        kind = "application/json"
    headers = {"x-api-key": env["GATEWAY_API_KEY"], "Content-Type": kind}
    request = urllib.request.Request(env["GATEWAY_URL"] + where, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def quiet(tab: Tab, *names: str) -> dict[str, str]:
    """Block until these texts have not changed for three looks; what they are."""
    seen: list[dict[str, str]] = []

    def still() -> dict[str, str]:
        shown = tab.shown()
        seen.append({name: shown[name] for name in names})
        return seen[-1] if len(seen) > 3 and all(one == seen[-1] for one in seen[-3:]) else {}

    return wait_until("nothing moves", still, 60, poll_s=2.0)


@pytest.mark.parametrize(("path", "number"), [("batch", "proxy.rate"), ("stream", "stream-reader.rate")])
def test_one_event_moves_a_number_within_five_seconds(path: str, number: str, at: Tab, filled: Stack) -> None:
    page = at.go("/")
    before = quiet(at, number)[number]
    post(filled, path)
    began = time.monotonic()
    expect(page.locator(f'[data-live="{number}"]').first).not_to_have_text(before, timeout=LIVE_MS)
    assert time.monotonic() - began < LIVE_MS / 1000


def state(tab: Tab, station: str, wanted: str, timeout_ms: float) -> None:
    expect(tab.page.locator(f"#at-{station}")).to_have_attribute("data-state", wanted, timeout=timeout_ms)


def test_a_service_that_is_killed_turns_red_alone_and_comes_back(at: Tab, filled: Stack) -> None:
    at.go("/")
    with port_is_taken(filled, "proxy"):
        state(at, "proxy", "down", DOWN_MS)
        assert "answer" in at.shown()["proxy.why"]
        for other in ("kafka", "s3-sink", "analyser", "gateway"):
            state(at, other, "ready", 1_000)
    filled.pipeline("up", check=False)  # what failed is retried at once
    state(at, "proxy", "ready", DOWN_MS)


def test_a_service_that_hangs_turns_red_and_comes_back(at: Tab, filled: Stack) -> None:
    at.go("/")
    with hung(filled, "s3-sink"):
        state(at, "s3-sink", "down", DOWN_MS)
        assert "no answer" in at.shown()["s3-sink.why"]
    state(at, "s3-sink", "ready", DOWN_MS)


def test_every_service_killed_is_red_and_back_without_a_reload(at: Tab, filled: Stack) -> None:
    page = at.go("/")
    with ExitStack() as outages:
        for service, stations in STATIONS.items():
            if service in SLOW:
                filled.kill(service)
            else:
                outages.enter_context(port_is_taken(filled, service))
            for station in stations:
                state(at, station, "down", DOWN_MS)
        # What the lake holds is still there.
        assert page.locator("#at-answers").get_attribute("data-state") == "ready"
    filled.pipeline("up", check=False)  # what failed is retried at once
    for stations in STATIONS.values():
        for station in stations:
            state(at, station, "ready", BACK_S * 1000)


def test_the_dashboard_itself_killed_is_said_and_comes_back(browser_tab: Callable[[], Tab], filled: Stack) -> None:
    """The browser complains of the requests that nobody answers; nothing else may be amiss."""
    opened = browser_tab()
    page = opened.go("/")
    expect(page.locator("#at-proxy")).to_have_attribute("data-state", "ready", timeout=DOWN_MS)
    kept = opened.shown()["tables.note"]
    with port_is_taken(filled, "dashboard"):
        expect(page.locator("#unreachable")).to_be_visible(timeout=DOWN_MS)
        assert opened.shown()["tables.note"] == kept
    expect(page.locator("#unreachable")).to_be_hidden(timeout=BACK_S * 1000)
    assert all("net::ERR_" in complaint for complaint in opened.complaints), opened.complaints
