import json
import socket
import threading
from pathlib import Path
from typing import cast

import pytest
from batch_analyser.__main__ import serve
from batch_analyser.jobs.catalogue import TASKS
from batch_analyser.service import readiness
from batch_analyser.service.runs import QueueFullError
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import CRASHED, STOPPED, Worker
from batch_analyser.settings import ServerSettings
from fake_tasks import DEADLINE_S, FakeTasks, awaited, call, run_now
from flask.testing import FlaskClient
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from service_kit.clock import ManualClock
from service_kit.shutdown import Shutdown


def test_a_run_from_start_to_end(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    listed = call(client, "GET", "/2.1/jobs/list?name=X-batch")
    assert [job["settings"]["name"] for job in listed["jobs"]] == ["x-batch"]
    assert call(client, "GET", "/2.2/jobs/list?name=other")["jobs"] == []
    run_id = run_now(client, job_parameters={"ties": "first", "from": ""}, idempotency_token="t1")
    assert run_now(client, idempotency_token="t1") == run_id
    awaited(store, run_id)
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    assert run["state"]["life_cycle_state"] == "TERMINATED"
    assert run["state"]["result_state"] == "SUCCESS"
    assert run["status"]["termination_details"]["code"] == "SUCCESS"
    assert [task["task_key"] for task in run["tasks"]] == list(TASKS)
    assert [task["depends_on"] for task in run["tasks"][1:]] == [[{"task_key": key}] for key in TASKS[:-1]]
    assert run["job_parameters"] == [{"name": "ties", "value": "first"}]
    assert tasks.done == [(task, {"ties": "first"}) for task in TASKS]
    output = call(client, "GET", "/2.2/jobs/runs/get-output", {"run_id": run["tasks"][2]["run_id"]})
    assert json.loads(output["logs"]) == {"task": "answers"}
    assert client.get(f"/runs/{run_id}", headers={"Authorization": "Bearer secret"}).get_json()["run_id"] == run_id


def test_only_some_tasks(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    awaited(store, run_now(client, only=["audit", "ingest"]))
    assert [name for name, _ in tasks.done] == ["ingest", "audit"]


def test_a_failed_task_names_its_error_and_stops_the_rest(
    client: FlaskClient, store: RunStore, tasks: FakeTasks
) -> None:
    tasks.fail = "clean"
    run_id = run_now(client)
    awaited(store, run_id)
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    assert run["state"]["result_state"] == "FAILED"
    results = [task["state"]["result_state"] for task in run["tasks"]]
    assert results == ["SUCCESS", "FAILED", "UPSTREAM_FAILED", "UPSTREAM_FAILED"]
    output = call(client, "GET", f"/2.2/jobs/runs/get-output?run_id={run['tasks'][1]['run_id']}")
    assert output["error"] == "ValueError: no such luck"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/2.2/jobs/runs/get?run_id=99", None, 400),
        ("GET", "/2.2/jobs/runs/get", None, 400),
        ("GET", "/2.2/jobs/get?job_id=7", None, 400),
        ("GET", "/2.2/jobs/nothing", None, 404),
        ("GET", "/2.2/jobs/run-now", None, 405),
        ("POST", "/2.2/jobs/run-now", {"job_id": 3}, 400),
        ("POST", "/2.2/jobs/run-now", {"job_id": "one"}, 400),
        ("POST", "/2.2/jobs/run-now", {"job_id": 1, "job_parameters": {"ties": "none"}}, 400),
        ("POST", "/2.2/jobs/run-now", {"job_id": 1, "job_parameters": {"colour": "red"}}, 400),
        ("POST", "/2.2/jobs/run-now", {"job_id": 1, "job_parameters": {"from": "x"}}, 400),
        ("POST", "/2.2/jobs/run-now", {"job_id": 1, "only": ["dance"]}, 400),
        ("POST", "/2.2/jobs/run-now", {"job_id": 1, "idempotency_token": "x" * 65}, 400),
        ("POST", "/2.2/jobs/run-now", [1], 400),
        ("POST", "/2.2/jobs/runs/submit", {"run_name": "x"}, 400),
        ("POST", "/2.2/jobs/runs/submit", {"tasks": [{"task_key": "x", "notebook_task": {}}]}, 400),
        ("POST", "/2.2/jobs/runs/cancel", {"run_id": 99}, 400),
        ("GET", "/2.2/jobs/runs/list?limit=26", None, 400),
        ("GET", "/2.2/jobs/runs/list?active_only=true&completed_only=true", None, 400),
    ],
)
def test_bad_requests_say_what_is_wrong(client: FlaskClient, method: str, path: str, body: object, status: int) -> None:
    answer = call(client, method, path, body)
    assert answer["status"] == status
    assert answer["error_code"]
    assert answer["message"]


def test_the_token_is_asked_for(client: FlaskClient) -> None:
    assert call(client, "GET", "/2.2/jobs/list", token="other")["status"] == 401
    assert client.get("/runs/1").status_code == 401


def test_a_taken_port_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name, value in {"LAKE_URI": tmp_path.as_uri(), "STATE_DIR": str(tmp_path), "PORT": str(port)}.items():
            monkeypatch.setenv(name if name == "LAKE_URI" else f"ANALYSER_{name}", value)
        no_session = cast("SparkSession", None)
        assert serve(ServerSettings.load(), no_session, Shutdown()) == 2
    assert f"ANALYSER_PORT: 127.0.0.1:{port} cannot be used" in capsys.readouterr().err


def test_a_full_queue_takes_no_more_and_forgets_the_run(
    client: FlaskClient, store: RunStore, worker: Worker, tasks: FakeTasks
) -> None:
    tasks.go.clear()
    first = run_now(client)
    assert tasks.begun.wait(DEADLINE_S)
    last = [run_now(client), run_now(client)][-1]
    answer = call(client, "POST", "/2.2/jobs/run-now", {"job_id": 1, "idempotency_token": "later"})
    assert (answer["status"], answer["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    tasks.go.set()
    awaited(store, last)
    awaited(store, run_now(client, idempotency_token="later"))
    assert worker.active is None or worker.active > first


def test_a_stop_cancels_what_does_not_end(store: RunStore, tasks: FakeTasks) -> None:
    worker = Worker(store, tasks.all(), 2, tasks.cancel)
    worker.start(first=lambda: None)
    tasks.go.clear()
    going, waiting = (worker.submit("x-batch", {"ingest": {}}, {}, None).run_id for _ in range(2))
    assert tasks.begun.wait(DEADLINE_S)
    assert worker.stop(1.0)
    run = store.get(going)
    assert run is not None
    assert (run.life_cycle, run.message) == ("INTERNAL_ERROR", STOPPED)
    run = store.get(waiting)
    assert run is not None
    assert (run.life_cycle, run.over) == ("QUEUED", False)


@pytest.mark.parametrize("end", [STOPPED, CRASHED])
def test_a_run_that_had_not_begun_is_taken_up_at_the_next_start(end: str, tmp_path: Path, tasks: FakeTasks) -> None:
    """Of runs that wait, a repair among them, as they were asked for; nothing of the one that was cut off."""
    before = RunStore(tmp_path / "runs.sqlite", ManualClock())
    repaired, _ = before.add("x-batch", {"answers": {}}, {"ties": "first"})
    before.end_early(repaired.run_id, "CANCELED")
    cut_off, _ = before.add("x-batch", {"ingest": {}, "audit": {}}, {})
    before.start(cut_off.run_id)
    before.repair(repaired.run_id, ["answers"], {"median": "lower"})
    waiting, _ = before.add("x-batch", {"upkeep": {}}, {}, "token")
    assert before.end_unfinished(end) == 1
    before.close()
    after = RunStore(tmp_path / "runs.sqlite", ManualClock())
    assert after.end_unfinished(CRASHED) == 0
    assert after.queued() == 2
    worker = Worker(after, tasks.all(), 2)
    worker.start(first=lambda: None)
    awaited(after, waiting.run_id)
    assert worker.stop(DEADLINE_S)
    assert tasks.done == [("answers", {"ties": "first", "median": "lower"}), ("upkeep", {})]
    results = [run.result for one in (repaired, cut_off, waiting) if (run := after.get(one.run_id)) is not None]
    assert results == ["SUCCESS", "FAILED", "SUCCESS"]
    assert [task.result for task in after.tasks(cut_off.run_id)] == ["FAILED", "FAILED"]
    after.close()
    with pytest.raises(QueueFullError):
        worker.submit("x-batch", {"ingest": {}}, {}, None)


def states(client: FlaskClient, run_id: int) -> list[tuple[str, str | None]]:
    """Of the run and of its tasks: life cycle and result."""
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    return [(one["state"]["life_cycle_state"], one["state"].get("result_state")) for one in [run, *run["tasks"]]]


def test_a_cancelled_run_ends_what_it_does_and_the_next_one_runs(
    client: FlaskClient, store: RunStore, tasks: FakeTasks
) -> None:
    tasks.go.clear()
    going = run_now(client)
    # Until it begins it takes a place among those that wait.
    assert tasks.begun.wait(DEADLINE_S)
    waiting, last = run_now(client), run_now(client)
    for run_id in (waiting, going, going):
        assert call(client, "POST", "/2.1/jobs/runs/cancel", {"run_id": run_id}) == {}
    awaited(store, going)
    tasks.go.set()
    for run_id in (going, waiting):
        assert set(states(client, run_id)) == {("TERMINATED", "CANCELED")}
        run = store.get(run_id)
        assert run is not None
        assert run.message == "Run cancelled."
    awaited(store, last)
    assert set(states(client, last)) == {("TERMINATED", "SUCCESS")}
    assert call(client, "POST", "/2.2/jobs/runs/cancel", {"run_id": last}) == {}
    assert set(states(client, last)) == {("TERMINATED", "SUCCESS")}


def test_cancelling_a_task_or_all_runs_of_a_job(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    tasks.go.clear()
    first, upkeep = run_now(client), int(call(client, "POST", "/2.2/jobs/run-now", {"job_id": 2})["run_id"])
    assert tasks.begun.wait(DEADLINE_S)
    assert call(client, "POST", "/2.2/jobs/runs/cancel", {"run_id": store.tasks(first)[2].run_id}) == {}
    awaited(store, first)
    tasks.begun.clear()
    assert call(client, "POST", "/2.2/jobs/runs/cancel-all", {"job_id": 2}) == {}
    awaited(store, upkeep)
    assert states(client, upkeep)[0] == ("TERMINATED", "CANCELED")
    tasks.go.set()


def test_a_submitted_run_names_tasks_of_our_wheel(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    wheel = {"package_name": "pinterest-data-pipeline", "entry_point": "batch_analyser_task"}
    body = {
        "run_name": "again",
        "idempotency_token": "s1",
        "timeout_seconds": "0",
        "tasks": [
            {"task_key": "clean", "python_wheel_task": {**wheel, "named_parameters": {"replay": "true"}}},
            {"task_key": "second", "python_wheel_task": {**wheel, "named_parameters": {"task": "answers"}}},
        ],
    }
    run_id = int(call(client, "POST", "/2.1/jobs/runs/submit", body)["run_id"])
    assert call(client, "POST", "/2.2/jobs/runs/submit", body)["run_id"] == run_id
    awaited(store, run_id)
    assert tasks.done == [("clean", {"replay": "true"}), ("answers", {})]
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    assert (run["run_name"], run["run_type"], run["job_id"]) == ("again", "SUBMIT_RUN", run_id)
    body["tasks"] = [{"task_key": "x", "python_wheel_task": {**wheel, "named_parameters": {"task": "dance"}}}]
    assert "no task 'dance'" in call(client, "POST", "/2.2/jobs/runs/submit", body)["message"]


def test_runs_are_listed_page_by_page_newest_first(client: FlaskClient, store: RunStore) -> None:
    ids = []
    for _ in range(5):
        ids.append(run_now(client, only=["ingest"]))
        awaited(store, ids[-1])
    first = call(client, "GET", "/2.2/jobs/runs/list?job_id=1&limit=3&completed_only=true")
    assert [run["run_id"] for run in first["runs"]] == ids[:1:-1]
    assert "tasks" not in first["runs"][0]
    rest = call(client, "GET", f"/2.1/jobs/runs/list?limit=3&expand_tasks=true&page_token={first['next_page_token']}")
    assert [run["run_id"] for run in rest["runs"]] == ids[1::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [task["task_key"] for task in rest["runs"][0]["tasks"]] == ["ingest"]
    assert call(client, "GET", "/2.2/jobs/runs/list?active_only=true")["runs"] == []
    assert call(client, "GET", "/2.2/jobs/runs/list?job_id=2")["runs"] == []


def test_upkeep_is_a_job_of_its_own(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    (job,) = call(client, "GET", "/2.2/jobs/list?name=x-upkeep&expand_tasks=true")["jobs"]
    assert [task["task_key"] for task in job["settings"]["tasks"]] == ["upkeep"]
    assert call(client, "GET", f"/2.1/jobs/get?job_id={job['job_id']}") == job
    run_id = int(call(client, "POST", "/2.2/jobs/run-now", {"job_id": job["job_id"]})["run_id"])
    awaited(store, run_id)
    assert [name for name, _ in tasks.done] == ["upkeep"]
    output = call(client, "GET", f"/2.2/jobs/runs/get-output?run_id={run_id}")
    assert json.loads(output["logs"]) == {"task": "upkeep"}


def test_runs_that_a_crash_cut_off_end_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    before = RunStore(path, ManualClock())
    run, _ = before.add("x-batch", {task: {} for task in TASKS}, {}, "token")
    before.start(run.run_id)
    before.close()
    after = RunStore(path, ManualClock())
    assert after.end_unfinished(CRASHED) == 1
    ended = after.get(run.run_id)
    assert ended is not None
    assert (ended.life_cycle, ended.result, ended.message) == ("INTERNAL_ERROR", "FAILED", CRASHED)
    assert all(task.over for task in after.tasks(run.run_id))
    assert after.end_unfinished(CRASHED) == 0
    after.close()


def test_a_failed_warm_up_does_not_stop_the_worker(store: RunStore, tasks: FakeTasks) -> None:
    def fail() -> None:
        raise OSError("no lake")

    worker = Worker(store, tasks.all(), 2)
    worker.start(first=fail)
    awaited(store, worker.submit("x-batch", {"ingest": {}}, {}, None).run_id)
    assert worker.stop(DEADLINE_S)


def test_a_cancelled_heartbeat_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's jobs are cancelled with whatever else Spark does: Py4J has an error of its own for that."""
    monkeypatch.setattr(readiness, "session_alive", lambda: True)
    stop, beats = threading.Event(), iter([Py4JError("cancelled"), PySparkException("cancelled"), None])

    def query() -> None:
        error = next(beats)
        if error is not None:
            raise error
        stop.set()

    check = readiness.SessionCheck(query, lambda: False)
    check.beat_until(stop, every_s=0.01)
    assert check() == "Spark answers"
