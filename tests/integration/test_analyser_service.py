"""The analyser as a process: killed, fenced, ended in order."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from batch_analyser.service.runs import Run
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import CRASHED, JVM_GONE, STOPPED
from pipeline_local.layout import Layout
from raw_objects import RawObjects
from servers import LocalStack, free_port
from service_kit.clock import SystemClock
from waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

DEADLINE_S = 240
STOP_S = 20


class Service:
    """One analyser; its lake and state outlive it."""

    def __init__(self, endpoint_url: str, pipeline_id: str, folder: Path) -> None:
        layout = Layout.of_checkout()
        self.state = folder / "state"
        self.log = folder / "log"
        self._port = free_port()
        self.environment = {
            **os.environ,
            "PIPELINE_ID": pipeline_id,
            "LAKE_URI": (folder / "lake").as_uri(),
            "AWS_ENDPOINT_URL": endpoint_url,
            "SPARK_JARS_DIR": str(layout.spark_jars),
            "SPARK_ARCHIVE_DIR": str(layout.class_archives),
            "ANALYSER_SHORT_LIVED": "true",
            "ANALYSER_PORT": str(self._port),
            "ANALYSER_STATE_DIR": str(self.state),
            "ANALYSER_TOKEN": "for-this-test-only-1",
        }
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "batch_analyser"], env=self.environment, stdout=log, stderr=log
            )
        self.wait_for("ready", self._ready)

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        def holds() -> object:
            assert self.child is not None
            assert self.child.poll() is None, self.log.read_text()[-3000:]
            return condition()

        wait_until(what, holds, DEADLINE_S)

    def call(self, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data)
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", "Bearer for-this-test-only-1")
        with urllib.request.urlopen(request, timeout=10) as answer:
            document: dict[str, Any] = json.load(answer)
            return document

    def run_now(self, **parameters: str) -> int:
        return int(self.call("/api/2.2/jobs/run-now", {"job_id": 1, "job_parameters": parameters})["run_id"])

    def states(self, run_id: int) -> dict[str, str]:
        run = self.call(f"/api/2.2/jobs/runs/get?run_id={run_id}")
        tasks = {task["task_key"]: task["state"]["life_cycle_state"] for task in run["tasks"]}
        return tasks | {"run": run["state"].get("result_state", "")}

    def stored(self, run_id: int) -> Run:
        store = RunStore(self.state / "runs.sqlite", SystemClock())
        run = store.get(run_id)
        store.close()
        assert run is not None
        return run

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def service(localstack: LocalStack, tmp_path: Path) -> Iterator[Service]:
    pipeline_id = f"ans-{time.time_ns() % 10**9}"
    RawObjects(localstack.endpoint_url, pipeline_id).put_posts(range(12))
    running = Service(localstack.endpoint_url, pipeline_id, tmp_path)
    yield running
    if running.child is not None and running.child.poll() is None:
        running.child.kill()
        running.child.wait()


def test_killed_in_the_middle_fenced_and_ended(service: Service) -> None:
    service.start()
    cut_off = service.run_now()
    service.wait_for("clean runs", lambda: service.states(cut_off)["clean"] == "RUNNING")
    assert service.child is not None
    service.child.kill()
    service.child.wait()

    service.start()
    assert service.stored(cut_off).life_cycle == "INTERNAL_ERROR"
    assert service.stored(cut_off).message == CRASHED
    again = service.run_now(audit="full")
    service.wait_for("the run ended", lambda: service.states(again)["run"] != "")
    assert service.states(again)["run"] == "SUCCESS"
    tasks = service.call(f"/api/2.2/jobs/runs/get?run_id={again}")["tasks"]
    output = service.call(f"/api/2.2/jobs/runs/get-output?run_id={tasks[-1]['run_id']}")
    rows = json.loads(output["logs"])["rows"]
    assert sum(row["in_bronze"] for row in rows) == sum(row["current"] for row in rows) == 36

    command = [sys.executable, "-m", "batch_analyser.cli", "ingest"]
    fenced = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False)
    assert fenced.returncode == 3
    assert f"pid {service.child.pid}" in fenced.stderr

    going = service.run_now(audit="full")
    service.wait_for(
        "ingest runs or all ended",
        lambda: service.states(going)["ingest"] == "RUNNING" or service.states(going)["run"] != "",
    )
    service.child.send_signal(signal.SIGTERM)
    assert service.child.wait(STOP_S) == 0
    ended = service.stored(going)
    assert ended.over
    assert ended.result == "SUCCESS" or ended.message == STOPPED


def test_a_run_in_which_the_jvm_is_killed_may_be_started_again(service: Service) -> None:
    """Not FAILED: the command and Airflow start an INTERNAL_ERROR again, which is what the README promises."""
    service.start()
    cut_off = service.run_now(audit="full")
    service.wait_for("a task runs", lambda: "RUNNING" in service.states(cut_off).values())
    assert service.child is not None
    (jvm,) = [one for one in psutil.Process(service.child.pid).children(recursive=True) if one.name() == "java"]
    jvm.kill()
    assert service.child.wait(DEADLINE_S) == 1
    ended = service.stored(cut_off)
    assert (ended.life_cycle, ended.result, ended.message) == ("INTERNAL_ERROR", "FAILED", JVM_GONE)

    service.start()
    again = service.run_now()
    service.wait_for("the run ended", lambda: service.states(again)["run"] != "")
    assert service.states(again)["run"] == "SUCCESS"
