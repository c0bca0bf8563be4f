"""`docker compose up` from outside: 10,000 events down both paths while every service is killed once."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import engine
import pytest
from browser import launched, tab
from compose_stack import UP_DEADLINE_S, ComposeStack
from matrix import MATRIX, appears
from pipeline_contracts.names import Kind
from playwright.sync_api import expect, sync_playwright
from posts import write_generated
from recompute import recompute
from stack import fates
from waiting import wait_until

EVENTS = 10_000
SERVICES = ["dashboard", "kafka", "localstack", "mirror", "proxy", "s3-sink", "analyser", "stream-reader", "airflow"]
STEPS = ["sense", "ingest", "clean", "audit", "answers", "upkeep"]

# Every process of the container but its init, which then ends, and this one, which then does.
KILL_9 = """
import os
for number in os.listdir("/proc"):
    if number.isdigit() and int(number) not in {1, os.getpid()}:
        os.kill(int(number), 9)
"""


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_generated(tmp_path_factory.mktemp("posts"), EVENTS, seed=5)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def stack(images: dict[str, str], posts: Path) -> Iterator[ComposeStack]:
    """Healthy within 180 s, else it fails."""
    assert UP_DEADLINE_S <= 180
    with ComposeStack(posts) as running:
        yield running


def test_every_service_is_up_and_healthy(stack: ComposeStack) -> None:
    lines = stack.compose("ps", "--format", "json").stdout.splitlines()
    found = {entry["Service"]: entry["Health"] for entry in map(json.loads, lines)}
    assert found == dict.fromkeys(SERVICES, "healthy")


def test_killing_every_service_once_changes_nothing(stack: ComposeStack, posts: Path) -> None:
    sending = stack.start("send", "--source", "/raw", "--path", "both", "--rate", "130")
    for service in ("proxy", "kafka", "localstack", "stream-reader", "s3-sink", "mirror", "airflow"):
        # The first three are what a sender feels; on a slow machine the run may be over before the others.
        over = sending.poll() is not None and service in {"proxy", "kafka", "localstack"}
        assert not over, f"the run was over before {service} was killed: {sending.communicate()[0]}"
        stack.kill(service)
        stack.up()
    said, _ = sending.communicate(timeout=300)
    assert sending.returncode == 0, said
    analysing = stack.start("analyse")
    wait_until("the first task's end", lambda: "ingest finished" in stack.logs("analyser"), 180)
    stack.kill("analyser")
    stack.up()
    said, _ = analysing.communicate(timeout=300)
    assert analysing.returncode == 0, said
    audit = stack.audit()
    assert audit["ok"], audit
    assert fates(audit)["in_flight"] == 0
    expected, answers = recompute(posts), stack.answers()
    assert answers == {name: expected[name] for name in answers}


@pytest.mark.parametrize(("kind", "path"), MATRIX)
def test_what_was_posted_appears(kind: Kind, path: str, stack: ComposeStack, posts: Path) -> None:
    appears(stack, posts, kind, path)


def test_down_and_up_again_loses_nothing(stack: ComposeStack, posts: Path) -> None:
    answers = stack.answers()
    stack.down()
    stack.up()
    assert stack.answers() == answers
    audit = stack.audit()
    assert audit["ok"], audit
    for kind, path in MATRIX:
        appears(stack, posts, kind, path)


def test_airflow_takes_new_posts_to_new_answers(stack: ComposeStack) -> None:
    stack.pipeline("send", "--events", "600", "--seed", "9")
    said = stack.pipeline("trigger", "--wait").stdout
    port = stack.environment["AIRFLOW_PORT"]
    assert f"started: http://127.0.0.1:{port}/dags/pinterest_batch/runs/" in said
    assert re.findall(r"^(\w+): success, \d+\.\d s$", said, re.MULTILINE) == STEPS, said
    assert all(stack.answers().values())
    audit = stack.json("audit")
    assert audit["ok"], audit
    assert not any(row["in_flight"] for row in audit["rows"]), audit


def test_the_dashboard_shows_all_of_it_and_what_is_killed(stack: ComposeStack) -> None:
    """In a real browser; ``tests/browser`` has the rest, over plain processes."""
    address = f"http://127.0.0.1:{stack.environment['DASHBOARD_PORT']}"
    answers = stack.answers()
    with sync_playwright() as playwright, tab(launched(playwright), address) as opened:
        page = opened.go("/")

        def state(station: str, wanted: str) -> None:
            expect(page.locator(f"#at-{station}")).to_have_attribute("data-state", wanted, timeout=60_000)

        stations = ["gateway", "proxy", "kafka", "s3-sink", "analyser", "stream-reader", "mirror", "airflow", "answers"]
        for station in stations:
            state(station, "ready")
        assert opened.shown()["run.text"] == "succeeded"
        for name, rows in answers.items():
            assert page.request.get(f"{address}/api/v1/answers/{name}?limit=1000").json()["rows"] == rows
        stack.kill("proxy")
        state("proxy", "down")
        stack.up()
        state("proxy", "ready")
        assert opened.complaints == []


def test_a_database_is_named_by_the_environment(stack: ComposeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the README has it; here one that is not there."""
    monkeypatch.setitem(stack.environment, "EMITTER_SOURCE", "mysql+pymysql://reader:s3cret@127.0.0.1:9/posts")
    done = stack.compose(
        *("run", "-T", "--rm", "--no-deps", "-e", "EMITTER_SOURCE", "emitter", "--path", "both"), check=False
    )
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_the_readmes_line_for_a_folder_as_it_stands(stack: ComposeStack, posts: Path, tmp_path: Path) -> None:
    """In the folder of the posts; the engine may be as old as 20.10, which mounts no folder by a relative name."""
    (line,) = re.findall(r"`(docker compose run [^`]*--source /posts[^`]*)`", (engine.ROOT / "README.md").read_text())
    shutil.copytree(posts, tmp_path / "posts")
    tmp_path.chmod(0o755)
    project = f"--project-directory '{engine.ROOT}' --file '{engine.ROOT}/compose.yaml'"
    here = f'docker() {{ shift; command docker compose {project} "$@"; }}; {line}'
    done = subprocess.run(
        ["bash", "-c", here],
        cwd=tmp_path,
        env={**os.environ, **stack.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "acknowledged" in done.stdout


def test_nobody_outside_this_machine_can_connect(stack: ComposeStack) -> None:
    lines = stack.compose("ps", "--format", "json").stdout.splitlines()
    published = [port for entry in map(json.loads, lines) for port in entry["Publishers"] if port["PublishedPort"]]
    assert {port["URL"] for port in published} == {"127.0.0.1"}


def test_the_restart_policy_brings_back_what_dies(stack: ComposeStack) -> None:
    """A process that ends by itself, unlike one killed through Docker."""
    before = stack.inspected("proxy")
    stack.restarted.add("proxy")
    # Its exit code says nothing: it may be gone with the container.
    stack.compose("exec", "-T", "proxy", "python", "-c", KILL_9, check=False)

    def back() -> bool:
        now = stack.inspected("proxy")
        again = now["RestartCount"] > before["RestartCount"] and started(now) > started(before)
        return again and now["State"]["Health"]["Status"] == "healthy"

    wait_until("the proxy was started again, and is healthy", back, 90, poll_s=0.5)
    assert stack.inspected("proxy")["Id"] == before["Id"]


def started(container: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(container["State"]["StartedAt"])
