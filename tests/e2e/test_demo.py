"""`pipeline demo`, as a new user runs it, judged by its report."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agreement import current_counts, differences, popularity
from pipeline_contracts import audits
from pipeline_local import descendants
from pipeline_local.lake import Lake
from posts import SAMPLE, write_generated
from recompute import recompute
from stack import PIPELINE, ROOT, fates, free_ports

NINE = [
    "most_popular_category_by_country",
    "most_popular_category_by_year",
    "top_poster_by_country",
    "country_of_top_poster",
    "most_popular_category_by_age_group",
    "median_followers_by_age_group",
    "users_joined_by_year",
    "median_followers_by_join_year",
    "median_followers_by_join_year_and_age_group",
]


def demo(tmp_path: Path, **variables: str) -> dict[str, Any]:
    """`make demo` with make's variables, as the README has it."""
    report = tmp_path / "report.json"
    environment = {**os.environ, "PIPELINE_HOME": str(tmp_path / "state"), **free_ports()}
    done = subprocess.run(
        ["make", "demo", *(f"{name}={value}" for name, value in variables.items()), f"REPORT={report}"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for title in (
        "1. Most popular category in each country", "8. Median follower count", "Popular profiles", "Stream tables",
        "Every record and its fate: batch", "Every record and its fate: stream",
    ):  # fmt: skip
        assert title in done.stdout
    document: dict[str, Any] = json.loads(report.read_text())
    (kept,) = (tmp_path / "demo" / "audits").glob("*.json")
    assert [msgspec.structs.asdict(row) for row in audits.decoded(kept.read_bytes()).rows] == document["audit"]["rows"]
    return document


def must_agree(tmp_path: Path, raw: Path, report: dict[str, Any]) -> None:
    """Raw files, silver and the stream tables hold the same posts, row by row, and each post moved its profile."""
    lake = tmp_path / "demo" / "lake"
    assert differences(raw, lake) == {}
    stream = report["stream"]
    assert stream["tables"] == current_counts(lake)
    profiles = popularity(lake)
    posts = {name: posts for name, (posts, _) in profiles["expected"].items()}
    assert {name: posts for name, (posts, _) in profiles["stored"].items()} == posts
    scores = {name: score for name, (_, score) in profiles["expected"].items()}
    assert {name: score for name, (_, score) in profiles["stored"].items()} == pytest.approx(scores, rel=1e-6)
    popular = stream["popular"]
    assert len(popular) == 20
    assert [one["score"] for one in popular] == sorted((one["score"] for one in popular), reverse=True)
    assert {one["poster_name"]: one["posts"] for one in popular}.items() <= posts.items()
    for measured in (stream["latency_ms"], stream["popularity_latency_ms"]):
        assert 0 < measured["p50"] <= measured["p95"]


def of_path(audit: dict[str, Any], path: str) -> dict[str, int]:
    return fates({"rows": [row for row in audit["rows"] if row["path"] == path]})


@pytest.mark.skipif(not SAMPLE.exists(), reason="the real sample is not beside this checkout")
def test_demo_on_the_real_sample(tmp_path: Path) -> None:
    report = demo(tmp_path, SOURCE=str(SAMPLE))
    assert report["events"] == {"sent": {"pin": 1326, "geo": 1326, "user": 1329}}
    assert report["audit"]["ok"]
    for path in ("batch", "stream"):
        assert of_path(report["audit"], path) == {
            "in_log": 3981, "current": 3 * 877, "superseded": 0, "repeated": 449 + 449 + 448, "quarantined": 4,
            "dead_lettered": 0, "expired": 0, "in_flight": 0,
        }, path  # fmt: skip
    assert report["stream"]["audit"]["ok"]
    assert report["stream"]["audit"]["rows"] == [row for row in report["audit"]["rows"] if row["path"] == "stream"]
    assert report["stream"]["tables"] == {
        "pin": {"rows": 1326, "current": 877},
        "geo": {"rows": 1326, "current": 877},
        "user": {"rows": 1325, "current": 877},
    }
    quarantined = Lake(tmp_path / "demo" / "lake").rows("quarantine/stream")
    assert [(row["stream"], row["reason"]) for row in quarantined] == [("streaming-pinterest-user", "wrong_kind")] * 4
    must_agree(tmp_path, SAMPLE, report)
    assert list(report["answers"]) == NINE
    expected = recompute(SAMPLE)
    assert report["answers"] == {name: expected[name] for name in NINE}
    assert set(report["seconds"]) == {"start", "send", "stream", "archive", "analyse", "audit", "stop", "total"}


def test_demo_on_a_hundred_thousand_generated_events(tmp_path: Path) -> None:
    report = demo(tmp_path, EVENTS="100000")
    assert sum(report["events"]["sent"].values()) == 100_000
    assert report["audit"]["ok"]
    assert [of_path(report["audit"], path)["in_log"] for path in ("batch", "stream")] == [100_000, 100_000]
    raw = write_generated(tmp_path / "raw", 100_000, 1)
    must_agree(tmp_path, raw, report)
    expected = recompute(raw)
    assert report["answers"] == {name: expected[name] for name in NINE}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_ended_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "PIPELINE_HOME": str(tmp_path / "state"), **free_ports()}
    running = subprocess.Popen(
        [PIPELINE, "demo", "--events", "300"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background hands an ignored SIGINT on.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509  # no thread holds a lock here
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("kafka is ready"):
            break
    assert descendants.of(f"{tmp_path}/demo/")
    running.send_signal(number)
    running.communicate(timeout=120)
    assert running.returncode != 0
    assert not descendants.of(f"{tmp_path}/demo/")
    supervisor = (tmp_path / "demo" / "logs" / "supervisor.log").read_text()
    assert "service stopped" in supervisor
    assert "is killed" not in supervisor, "a service did not end when it was told to"
