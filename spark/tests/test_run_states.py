"""Whoever looks on sees how runs are, without a token and without what they were given or left."""

from http import HTTPStatus

import msgspec
import pytest
from batch_analyser.service.store import RunStore
from fake_tasks import FakeTasks, awaited, call, run_now
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_contracts.runs import MOST_RUNS, RunState, RunStates
from service_kit.inert import visible

SECRET = "not for everybody"


def states(client: FlaskClient, query: str = "") -> RunStates:
    answer = client.get(f"/v1/runs{query}")
    assert answer.status_code == HTTPStatus.OK, answer.get_json()
    return msgspec.json.decode(answer.data, type=RunStates)


def of_tasks(run: RunState) -> dict[str, str]:
    return {task.name: task.state for task in run.tasks}


def test_states_of_runs_and_their_tasks(client: FlaskClient, store: RunStore, tasks: FakeTasks) -> None:
    tasks.fail = "clean"
    failed = run_now(client)
    awaited(store, failed)
    tasks.fail = None
    tasks.go.clear()
    tasks.begun.clear()
    going = run_now(client)
    assert tasks.begun.wait(5)
    waiting, cancelled = run_now(client), run_now(client)
    call(client, "POST", "/2.2/jobs/runs/cancel", {"run_id": cancelled})

    found = states(client)
    assert found.queued == 1
    assert [(run.id, run.name, run.state) for run in found.runs] == [
        (cancelled, "x-batch", "cancelled"),
        (waiting, "x-batch", "queued"),
        (going, "x-batch", "running"),
        (failed, "x-batch", "failed"),
    ]
    assert of_tasks(found.runs[3]) == {"ingest": "success", "clean": "failed", "answers": "not_run", "audit": "not_run"}
    assert of_tasks(found.runs[2])["ingest"] == "running"
    assert [task.error for task in found.runs[3].tasks][:2] == [None, "ValueError: no such luck"]
    assert found.runs[3].error == "the task clean failed; its output has the error"
    assert (found.runs[2].started is None, found.runs[2].ended, found.runs[1].started) == (False, None, None)
    tasks.go.set()


def test_it_needs_no_token_and_all_else_does(client: FlaskClient) -> None:
    for path in ("/v1/runs", "/api/2.2/jobs/runs/list", "/runs/1", "/v1/other"):
        expected = HTTPStatus.OK if path == "/v1/runs" else HTTPStatus.UNAUTHORIZED
        assert client.get(path).status_code == expected
    assert client.post("/v1/runs", json={}).status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.METHOD_NOT_ALLOWED}


def test_nothing_of_what_a_run_was_given_or_left(client: FlaskClient, store: RunStore) -> None:
    run, _ = store.add("x-batch", {"clean": {"ties": SECRET}}, {"users": SECRET}, idempotency_token=SECRET)
    task = store.tasks(run.run_id)[0]
    store.end(task.run_id, "TERMINATED", "SUCCESS", message=SECRET, output=SECRET)
    assert SECRET.encode() not in client.get("/v1/runs").data


def test_it_is_bounded(client: FlaskClient, store: RunStore) -> None:
    for _ in range(MOST_RUNS + 5):
        store.end_early(store.add("x-batch", {"clean": {}}, {})[0].run_id, "CANCELED")
    assert len(states(client, f"?limit={MOST_RUNS}").runs) == len(states(client, "?limit=0").runs) == MOST_RUNS
    assert [run.id for run in states(client, "?limit=2").runs] == [run.id for run in states(client).runs[:2]]


@pytest.mark.parametrize("query", [f"limit={MOST_RUNS + 1}", "limit=-1", "limit=x", "limit=1&limit=1", "offset=1"])
def test_what_is_not_known_is_refused_by_name(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/v1/runs?{query}")
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert f"'{query.split('=', maxsplit=1)[0]}'" in answer.get_json()["message"]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_error_and_name_is_one_short_line(client: FlaskClient, store: RunStore, message: str, name: str) -> None:
    run, _ = store.add(name, {"clean": {}}, {}, run_type="SUBMIT_RUN")
    store.end(run.run_id, "TERMINATED", "FAILED", message)
    shown = states(client, "?limit=1").runs[0]
    for text in (shown.name, shown.error or ""):
        assert text == visible(text)
        assert len(text) <= 200 * len("\\U0001bca0")
