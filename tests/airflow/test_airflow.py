"""The DAG on a real Airflow, against the analyser's real Jobs API with steered tasks."""

import http.client
import sys
import time
from collections.abc import Iterator

import pytest
from airflow_server import Airflow, JobsApi
from jobs_api_server import ERROR
from pipeline_local.airflow_client import DagRun, TaskRun
from waiting import wait_until

pytestmark = pytest.mark.timeout(400)

DAG = "pinterest_batch"
ALL = {"always": True}
STEPS = ["ingest", "clean", "audit", "answers", "upkeep"]
DEADLINE_S = 150


@pytest.fixture(scope="module")
def jobs_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsApi]:
    with JobsApi(tmp_path_factory.mktemp("jobs-api")) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, jobs_api: JobsApi) -> Iterator[Airflow]:
    with Airflow(tmp_path_factory.mktemp("airflow"), jobs_api) as server:
        yield server


@pytest.fixture(autouse=True)
def steered(jobs_api: JobsApi) -> None:
    jobs_api.steer()


def follow(airflow: Airflow, run: DagRun) -> tuple[DagRun, list[TaskRun]]:
    told: list[TaskRun] = []
    return airflow.client.follow(DAG, run, told.append), told


def test_a_run_goes_through_every_step_in_order(airflow: Airflow, jobs_api: JobsApi) -> None:
    started = time.monotonic()
    run, told = follow(airflow, airflow.client.trigger(DAG, ALL | {"from": 2018, "ties": "first"}))
    seconds = time.monotonic() - started
    assert run.state == "success"
    assert [(task.task, task.state) for task in told] == [(step, "success") for step in ["sense", *STEPS]]
    assert [task for task, _ in jobs_api.done] == STEPS
    asked = {entry["name"]: entry["value"] for entry in jobs_api.runs()[1]["job_parameters"]}
    assert (asked["from"], asked["ties"], asked["audit"]) == ("2018", "first", "quick")
    sys.stdout.write(f"trigger to success: {seconds:.1f} s; memory: {airflow.memory_bytes / 1024**2:.0f} MiB\n")
    assert airflow.memory_bytes < 900 * 1024**2
    assert airflow.listening() == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:8080", 200), ("127.0.0.1:8080", 200), ("airflow:8080", 200), ("evil.example", 400)]
)
def test_a_foreign_name_is_refused(host: str, status: int, airflow: Airflow) -> None:
    for path in ("/", "/api/v2/monitor/health", "/auth/token", "/execution/health"):
        connection = http.client.HTTPConnection("127.0.0.1", airflow.port, timeout=30)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        assert (answer.status == 400) == (status == 400), (path, answer.status, answer.read())


def test_a_failed_job_shows_its_error_in_the_tasks_log(airflow: Airflow, jobs_api: JobsApi) -> None:
    jobs_api.steer(clean="fail")
    run = airflow.client.trigger(DAG, ALL)
    task = TaskRun("clean", "", 1, 0.0)
    wait_until("the log tells the error", lambda: any(ERROR in line for line in _log(airflow, run, task)), DEADLINE_S)
    airflow.mark_as_failed(DAG, run, "clean")
    ended, told = follow(airflow, run)
    assert ended.state == "failed"
    assert {task.task: task.state for task in told} == {
        "sense": "success", "ingest": "success", "clean": "failed",
        "audit": "upstream_failed", "answers": "upstream_failed", "upkeep": "upstream_failed",
    }  # fmt: skip


def _log(airflow: Airflow, run: DagRun, task: TaskRun) -> list[str]:
    tasks = {one.task: one for one in airflow.client.tasks(DAG, run.run_id)}
    return airflow.client.log(DAG, run, task) if tasks["clean"].state in {"up_for_retry", "failed"} else []


def test_marking_a_step_as_failed_cancels_its_run(airflow: Airflow, jobs_api: JobsApi) -> None:
    jobs_api.steer(clean="hang")
    run = airflow.client.trigger(DAG, ALL)
    wait_until("the task hangs", lambda: ("clean", "hangs") in jobs_api.done, DEADLINE_S)
    airflow.mark_as_failed(DAG, run, "clean")
    wait_until(
        "the run is cancelled", lambda: jobs_api.runs()[0]["state"].get("result_state") == "CANCELED", DEADLINE_S
    )
    assert follow(airflow, run)[0].state == "failed"


def test_killed_in_the_middle_it_goes_on_and_ends_right(airflow: Airflow, jobs_api: JobsApi) -> None:
    jobs_api.steer(clean="hang")
    run = airflow.client.trigger(DAG, ALL)
    wait_until("the task hangs", lambda: ("clean", "hangs") in jobs_api.done, DEADLINE_S)
    airflow.kill()
    jobs_api.kill()  # what it did is lost; its runs are not
    jobs_api.steer()
    jobs_api.start()
    airflow.start()
    ended, _ = follow(airflow, run)
    assert ended.state == "success"
    assert {task.task: task.state for task in ended.tasks} == dict.fromkeys(["sense", *STEPS], "success")
    assert [task for task, _ in jobs_api.done] == STEPS[1:], "each step once more, or for the first time"
