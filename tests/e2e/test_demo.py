"""`pipeline demo`, as a new user runs it, judged by its report."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pipeline_local import descendants
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


def demo(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    report = tmp_path / "report.json"
    environment = {**os.environ, "PIPELINE_HOME": str(tmp_path / "state"), **free_ports()}
    done = subprocess.run(
        [PIPELINE, "demo", *arguments, "--report", str(report)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for title in ("1. Most popular category in each country", "8. Median follower count", "Every record and its fate"):
        assert title in done.stdout
    document: dict[str, Any] = json.loads(report.read_text())
    return document


@pytest.mark.skipif(not SAMPLE.exists(), reason="the real sample is not beside this checkout")
def test_demo_on_the_real_sample(tmp_path: Path) -> None:
    report = demo(tmp_path, "--source", str(SAMPLE))
    assert report["events"] == {"sent": {"pin": 1326, "geo": 1326, "user": 1329}}
    assert report["audit"]["ok"]
    counts = fates(report["audit"])
    assert counts == {
        "in_log": 3981, "current": 3 * 877, "superseded": 0, "repeated": 449 + 449 + 448, "quarantined": 4,
        "dead_lettered": 0, "expired": 0, "in_flight": 0,
    }  # fmt: skip
    assert list(report["answers"]) == NINE
    expected = recompute(SAMPLE)
    assert report["answers"] == {name: expected[name] for name in NINE}
    assert set(report["seconds"]) == {"start", "send", "archive", "analyse", "audit", "stop", "total"}


def test_demo_on_a_hundred_thousand_generated_events(tmp_path: Path) -> None:
    report = demo(tmp_path, "--events", "100000", "--seed", "7")
    assert sum(report["events"]["sent"].values()) == 100_000
    assert report["audit"]["ok"]
    expected = recompute(write_generated(tmp_path / "raw", 100_000, 7))
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
