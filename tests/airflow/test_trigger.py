"""`pipeline trigger` on the whole system: new posts to new answers through Airflow."""

import re
import sys
import time
from collections.abc import Iterator

import pytest
from dying import await_failing, folder_is_a_file, others_must_serve, services
from posts import write_generated
from recompute import recompute
from stack import Stack

pytestmark = pytest.mark.embedded

STEPS = ["sense", "ingest", "clean", "audit", "answers", "upkeep"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack") / "state", without="") as running:
        yield running


def test_new_posts_become_new_answers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = write_generated(tmp_path_factory.mktemp("posts"), 300, 3)
    stack.pipeline("send", "--source", str(source))
    said = stack.pipeline("trigger", "--wait").stdout
    port = stack.environment["AIRFLOW_PORT"]
    assert f"started: http://127.0.0.1:{port}/dags/pinterest_batch/runs/" in said
    assert re.findall(r"^(\w+): success, \d+\.\d s$", said, re.MULTILINE) == STEPS, said
    assert said.endswith("the run is success\n")
    expected = recompute(source)
    answers = stack.answers()
    assert answers == {name: expected[name] for name in answers}
    assert stack.json("audit")["ok"]


def test_with_nothing_new_every_step_changes_nothing(stack: Stack) -> None:
    lake = stack.home / "lake"
    before = sorted(str(file) for file in lake.rglob("*.json"))
    started = time.monotonic()
    run = stack.json("trigger", "--wait", "--always")
    assert run["state"] == "success"
    assert sorted(str(file) for file in lake.rglob("*.json")) == before
    seconds = {task["task"]: round(task["seconds"], 1) for task in run["tasks"]}
    assert list(seconds) == STEPS
    sys.stdout.write(f"nothing new: {time.monotonic() - started:.1f} s, {seconds}\n")


def test_memory_and_health(stack: Stack) -> None:
    services = stack.json("status")["services"]
    assert services["airflow"]["state"] == "ready"
    sys.stdout.write(f"memory: {services['airflow']['memory_bytes'] / 1024**2:.0f} MiB\n")
    assert services["airflow"]["memory_bytes"] < 900 * 1024**2


def test_an_airflow_that_dies_at_every_start_leaves_the_others_serving(stack: Stack) -> None:
    """The last one: Airflow takes long to come back, and how a service does that ``tests/e2e`` shows."""
    before = services(stack)
    with folder_is_a_file(stack, "airflow"):
        await_failing(stack, "airflow")
        others_must_serve(stack, "airflow", before, ())
        done = stack.pipeline("trigger", check=False)
        assert done.returncode not in {0, 2}, done.stdout
        assert "airflow failed " in done.stderr
        stack.pipeline("send", "--events", "10")
        stack.pipeline("analyse")
