"""The Jobs API does what the reference says, or refuses by name: nothing is ignored."""

import json
from pathlib import Path
from typing import Any

import pytest
from batch_analyser.service.api import create_app
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker
from fake_tasks import DEADLINE_S, FakeTasks, awaited, call, run_now
from flask.testing import FlaskClient
from pipeline_contracts.names import Names
from service_kit.clock import ManualClock
from waiting import wait_until

WHEEL = {"package_name": "pinterest-data-pipeline", "entry_point": "batch_analyser_task"}
OTHER_PARAMETERS = (
    "notebook_params", "python_named_params", "python_params", "jar_params", "sql_params", "dbt_commands",
    "spark_submit_params", "pipeline_params",
)  # fmt: skip


def wheel(key: str, *needs: str, **more: object) -> dict[str, Any]:
    """A submitted task of our wheel, which does what its key says before the first dash."""
    own = {**WHEEL, "named_parameters": {"task": key.split("-", maxsplit=1)[0]}}
    return {
        "task_key": key,
        "python_wheel_task": own,
        **({"depends_on": [{"task_key": need} for need in needs]} if needs else {}),
        **more,
    }


def submit(client: FlaskClient, *tasks: object, **more: object) -> Any:
    return call(client, "POST", "/2.2/jobs/runs/submit", {"tasks": list(tasks), **more})


def results(client: FlaskClient, run_id: int) -> dict[str, str]:
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    return {task["task_key"]: task["state"].get("result_state") for task in run["tasks"]} | {
        "run": run["state"].get("result_state")
    }


@pytest.mark.parametrize("name", [*OTHER_PARAMETERS, "performance_target", "jobparameters", "job_Id"])
@pytest.mark.parametrize("path", ["run-now", "runs/submit", "runs/repair", "runs/cancel", "runs/cancel-all"])
def test_a_field_that_is_not_done_is_refused_by_name(
    client: FlaskClient, tasks: FakeTasks, path: str, name: str
) -> None:
    body = {"job_id": 1} if path == "run-now" else {"tasks": [wheel("clean")]} if path == "runs/submit" else {}
    answer = call(client, "POST", f"/2.2/jobs/{path}", {**body, name: {"ties": "first"}})
    assert (answer["status"], answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert f"'{name}'" in answer["message"]
    assert tasks.done == []


@pytest.mark.parametrize("path", ["list", "get", "runs/get", "runs/list", "runs/get-output"])
def test_a_query_that_is_not_known_is_refused_by_name(client: FlaskClient, path: str) -> None:
    answer = call(client, "GET", f"/2.2/jobs/{path}?colour=red")
    assert (answer["status"], "'colour'" in answer["message"]) == (400, True)
    answer = call(client, "GET", f"/2.2/jobs/{path}?job_id=1&job_id=2")
    assert (answer["status"], "'job_id'" in answer["message"]) == (400, True)


@pytest.mark.parametrize(
    ("task", "named"),
    [
        (wheel("clean", new_cluster={}), "new_cluster"),
        (wheel("clean", timeout_seconds=-5), "timeout_seconds"),
        (wheel("clean", max_retries=1), "max_retries"),
        (wheel("clean", run_if="ALL_DONE"), "run_if"),
        (wheel("clean", colour="red"), "colour"),
        ({"task_key": "clean", "notebook_task": {"notebook_path": "/x"}}, "notebook_task"),
        ({"task_key": "clean", "python_wheel_task": {**WHEEL, "parameters": ["x"]}}, "parameters"),
        ({"task_key": "clean", "python_wheel_task": {**WHEEL, "named_parameters": {"ties": "none"}}}, "ties"),
        (wheel("clean", "other"), "other"),
        ({**wheel("clean"), "depends_on": [{"task_key": "clean", "outcome": "true"}]}, "outcome"),
        (wheel("clean", "clean"), "circle"),
        ({"task_key": "a b"}, "task_key"),
    ],
)
def test_a_submitted_task_that_cannot_be_done_says_why(client: FlaskClient, task: object, named: str) -> None:
    answer = submit(client, task)
    assert answer["status"] == 400
    assert named in answer["message"]


@pytest.mark.parametrize("field", ["notebook_task", "spark_python_task", "python_wheel_task", "existing_cluster_id"])
def test_the_form_of_one_task_is_explained_like_that_of_many(client: FlaskClient, field: str) -> None:
    """The DAG of the course and most others send it so: the fields of the task at the top."""
    top = call(client, "POST", "/2.2/jobs/runs/submit", {"run_name": "x", field: {"notebook_path": "/x"}})
    assert top["status"] == 400
    assert f"'{field}'" in top["message"]
    for said in ("own wheel", "'tasks'", "python_wheel_task", "batch_analyser_task"):
        assert said in top["message"]


def test_only_nothing_is_refused(client: FlaskClient, tasks: FakeTasks) -> None:
    answer = call(client, "POST", "/2.2/jobs/run-now", {"job_id": 1, "only": []})
    assert (answer["status"], "'only'" in answer["message"]) == (400, True)
    assert tasks.done == []


def test_tasks_run_in_the_order_of_their_dependencies(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    run_id = submit(client, wheel("answers", "clean"), wheel("clean", "ingest"), wheel("ingest"))["run_id"]
    awaited(store, run_id)
    assert [name for name, _ in tasks.done] == ["ingest", "clean", "answers"]
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    needs = {task["task_key"]: task.get("depends_on", []) for task in run["tasks"]}
    assert needs == {"ingest": [], "clean": [{"task_key": "ingest"}], "answers": [{"task_key": "clean"}]}


def test_a_failure_stops_what_depends_on_it_and_nothing_else(
    client: FlaskClient, store: RunStore, tasks: FakeTasks
) -> None:
    tasks.fail = "clean"
    run_id = submit(client, wheel("clean"), wheel("answers", "clean"), wheel("audit", "answers"), wheel("ingest"))[
        "run_id"
    ]
    awaited(store, run_id)
    assert results(client, run_id) == {
        "clean": "FAILED",
        "answers": "UPSTREAM_FAILED",
        "audit": "UPSTREAM_FAILED",
        "ingest": "SUCCESS",
        "run": "FAILED",
    }


def test_two_tasks_of_one_key_are_refused(client: FlaskClient) -> None:
    answer = submit(client, wheel("clean"), wheel("clean"))
    assert (answer["status"], "'clean' is there twice" in answer["message"]) == (400, True)


def test_a_task_out_of_time_ends_so_and_those_that_need_it_are_not_run(
    client: FlaskClient, store: RunStore, tasks: FakeTasks
) -> None:
    tasks.go.clear()
    plan = [wheel("ingest", timeout_seconds="1"), wheel("clean", "ingest"), wheel("answers", timeout_seconds=60)]
    run_id = submit(client, *plan)["run_id"]
    wait_until("the first is out of time", lambda: results(client, run_id)["ingest"] == "TIMEDOUT")
    tasks.go.set()
    awaited(store, run_id)
    assert results(client, run_id) == {
        "ingest": "TIMEDOUT",
        "clean": "UPSTREAM_FAILED",
        "answers": "SUCCESS",
        "run": "FAILED",
    }
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    assert run["tasks"][0]["state"]["state_message"] == "Run timed out."
    assert "ingest" in run["state"]["state_message"]
    repair = {"run_id": run_id, "rerun_all_failed_tasks": True}
    tasks.go.clear()
    assert call(client, "POST", "/2.2/jobs/runs/repair", repair)["repair_id"]
    wait_until("a repair has the same limit", lambda: results(client, run_id)["ingest"] == "TIMEDOUT")
    tasks.go.set()
    awaited(store, run_id)


def test_a_run_out_of_time_ends_so_and_the_next_one_runs(
    client: FlaskClient, store: RunStore, tasks: FakeTasks
) -> None:
    tasks.go.clear()
    run_id = submit(client, wheel("ingest"), wheel("clean"), timeout_seconds="1")["run_id"]
    awaited(store, run_id)
    assert set(results(client, run_id).values()) == {"TIMEDOUT"}
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
    assert run["state"]["user_cancelled_or_timedout"]
    assert run["state"]["state_message"] == "Run timed out."
    assert run["status"]["termination_details"]["code"] == "CANCELED"
    tasks.go.set()
    later = submit(client, wheel("clean"), timeout_seconds=60)["run_id"]
    awaited(store, later)
    assert results(client, later)["run"] == "SUCCESS"
    assert submit(client, wheel("clean"), timeout_seconds=-1)["status"] == 400


def test_runs_are_filtered(client: FlaskClient, store: RunStore) -> None:
    of_job = run_now(client, only=["ingest"])
    awaited(store, of_job)
    submitted = submit(client, wheel("ingest"))["run_id"]
    awaited(store, submitted)

    def listed(query: str) -> list[int]:
        return [run["run_id"] for run in call(client, "GET", f"/2.2/jobs/runs/list?{query}")["runs"]]

    assert listed("run_type=JOB_RUN") == [of_job]
    assert listed("run_type=SUBMIT_RUN") == [submitted]
    assert listed("run_type=WORKFLOW_RUN") == []
    assert listed("limit=0") == [submitted, of_job]
    run = store.get(of_job)
    assert run is not None
    moment = run.started_ms or 0
    assert listed(f"start_time_from={moment}&start_time_to={moment}") == [submitted, of_job]
    assert listed(f"start_time_from={moment + 1}") == []
    assert listed(f"start_time_to={moment - 1}") == []
    for bad in ("run_type=x", "start_time_from=x", "offset=3"):
        answer = call(client, "GET", f"/2.2/jobs/runs/list?{bad}")
        assert (answer["status"], f"'{bad.split('=')[0]}'" in answer["message"]) == (400, True)


def test_jobs_are_listed_page_by_page(client: FlaskClient) -> None:
    first = call(client, "GET", "/2.2/jobs/list?limit=1")
    assert ([job["job_id"] for job in first["jobs"]], first["has_more"]) == ([1], True)
    rest = call(client, "GET", f"/2.2/jobs/list?limit=1&page_token={first['next_page_token']}")
    assert ([job["job_id"] for job in rest["jobs"]], rest["has_more"]) == ([2], False)


def test_cancelled_runs_give_their_places_back(client: FlaskClient, tasks: FakeTasks) -> None:
    tasks.go.clear()
    run_now(client)
    assert tasks.begun.wait(DEADLINE_S)
    waiting = [run_now(client), run_now(client)]
    assert call(client, "POST", "/2.2/jobs/run-now", {"job_id": 1})["status"] == 429
    for run_id in waiting:
        assert call(client, "POST", "/2.2/jobs/runs/cancel", {"run_id": run_id}) == {}
    assert run_now(client)
    assert run_now(client)
    assert call(client, "POST", "/2.2/jobs/run-now", {"job_id": 1})["status"] == 429
    tasks.go.set()


def test_a_full_queue_still_knows_its_tokens(client: FlaskClient, tasks: FakeTasks) -> None:
    tasks.go.clear()
    known = run_now(client, idempotency_token="t")
    assert tasks.begun.wait(DEADLINE_S)
    run_now(client)
    run_now(client)
    assert run_now(client, idempotency_token="t") == known
    tasks.go.set()


def test_a_repair_runs_what_failed_again_and_the_history_says_so(
    client: FlaskClient, store: RunStore, tasks: FakeTasks
) -> None:
    tasks.fail = "clean"
    run_id = run_now(client)
    awaited(store, run_id)
    history = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}&include_history=true")["repair_history"]
    assert [(item["type"], item["state"]["result_state"]) for item in history] == [("ORIGINAL", "FAILED")]
    old = {task.name: task.run_id for task in store.tasks(run_id)}

    repair: dict[str, object] = {"run_id": run_id, "rerun_all_failed_tasks": True}
    again = call(client, "POST", "/2.2/jobs/runs/repair", repair)["repair_id"]
    awaited(store, run_id)
    assert results(client, run_id)["run"] == "FAILED"
    refused = call(client, "POST", "/2.2/jobs/runs/repair", repair)
    assert (refused["status"], f"must be {again}" in refused["message"]) == (400, True)
    tasks.fail = None
    tasks.done.clear()
    repair |= {"latest_repair_id": again, "job_parameters": {"ties": "first"}}
    last = call(client, "POST", "/2.2/jobs/runs/repair", repair)["repair_id"]
    awaited(store, run_id)
    assert tasks.done == [(task, {"ties": "first"}) for task in ("clean", "answers", "audit")]
    assert set(results(client, run_id).values()) == {"SUCCESS"}
    run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}&include_history=true")
    assert [task["task_key"] for task in run["tasks"]] == ["ingest", "clean", "answers", "audit"]
    assert [task["attempt_number"] for task in run["tasks"]] == [0, 2, 2, 2]
    assert run["tasks"][0]["run_id"] == old["ingest"]
    items = [(item["type"], item["id"], item["state"]["result_state"]) for item in run["repair_history"]]
    assert items == [("ORIGINAL", run_id, "FAILED"), ("REPAIR", again, "FAILED"), ("REPAIR", last, "SUCCESS")]
    assert run["repair_history"][0]["task_run_ids"] == list(old.values())
    assert run["repair_history"][2]["task_run_ids"] == [task["run_id"] for task in run["tasks"][1:]]
    output = call(client, "GET", f"/2.2/jobs/runs/get-output?run_id={old['clean']}")
    assert output["error"] == "ValueError: no such luck", "the first try keeps its error"


def test_a_repair_of_named_tasks(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    run_id = run_now(client)
    awaited(store, run_id)
    tasks.done.clear()
    body: dict[str, object] = {"run_id": run_id, "rerun_tasks": ["answers"]}
    for more, said in (
        ({"rerun_tasks": ["dance"]}, "dance"),
        ({"rerun_tasks": []}, "nothing to repair"),
        ({"latest_repair_id": 7}, "latest_repair_id"),
        ({"run_id": store.tasks(run_id)[0].run_id}, f"repair run {run_id}"),
    ):
        answer = call(client, "POST", "/2.2/jobs/runs/repair", body | more)
        assert (answer["status"], said in answer["message"]) == (400, True)
    body["rerun_dependent_tasks"] = True
    assert call(client, "POST", "/2.2/jobs/runs/repair", body)["repair_id"]
    awaited(store, run_id)
    assert [name for name, _ in tasks.done] == ["answers", "audit"]
    tasks.go.clear()
    tasks.begun.clear()
    going = run_now(client)
    assert tasks.begun.wait(DEADLINE_S)
    answer = call(client, "POST", "/2.2/jobs/runs/repair", {"run_id": going, "rerun_all_failed_tasks": True})
    assert (answer["status"], "not ended" in answer["message"]) == (400, True)
    tasks.go.set()


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize("path", ["run-now", "runs/submit", "runs/repair", "runs/cancel", "runs/cancel-all"])
def test_what_a_page_of_another_site_can_send_starts_nothing(
    store: RunStore, worker: Worker, path: str, type_: str | None
) -> None:
    """Without a token, as on loopback; a browser asks before it sends application/json elsewhere."""
    open_to_all = create_app(store, worker, Names("x"), None, "http://here").test_client()
    body = json.dumps({"job_id": 1})
    answer = open_to_all.post(f"/api/2.2/jobs/{path}", data=body, content_type=type_)
    assert (answer.status_code, answer.get_json()["error_code"]) == (415, "MALFORMED_REQUEST")
    by_query = open_to_all.post(f"/api/2.2/jobs/{path}?job_id=1", json={})
    assert (by_query.status_code, "'job_id'" in by_query.get_json()["message"]) == (400, True)
    assert store.newest() == []
    typed = open_to_all.post("/api/2.2/jobs/run-now", data=body, content_type="Application/JSON; charset=UTF-8")
    assert typed.status_code == 200


def test_the_page_of_a_run_asks_a_browser_for_the_token(client: FlaskClient, store: RunStore) -> None:
    run_id = run_now(client)
    asked = client.get(f"/runs/{run_id}")
    assert (asked.status_code, asked.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    assert client.get(f"/runs/{run_id}", auth=("anyone", "secret")).get_json()["run_id"] == run_id
    assert client.get(f"/runs/{run_id}", auth=("anyone", "other")).status_code == 401
    api = client.get(f"/api/2.2/jobs/runs/get?run_id={run_id}", auth=("anyone", "secret"))
    assert (api.status_code, api.headers["WWW-Authenticate"]) == (401, "Bearer")
    awaited(store, run_id)


def test_a_disk_that_is_full_is_said(tmp_path: Path, tasks: FakeTasks) -> None:
    store = RunStore(tmp_path / "runs.sqlite", ManualClock())
    worker = Worker(store, tasks.all(), 10_000)
    client = create_app(store, worker, Names("x"), None, "http://here").test_client()
    store._db.execute("PRAGMA max_page_count = 20")
    answers = [client.post("/api/2.2/jobs/run-now", json={"job_id": 1}) for _ in range(200)]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert "disk is full" in answers[-1].get_json()["message"]
    assert client.get("/api/2.2/jobs/runs/list").status_code == 200
    store.close()
