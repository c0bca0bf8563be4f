"""No request gives a 5xx, whatever it holds; every field that is not known is a 400 that names it."""

import json
from collections.abc import Iterator

import pytest
from batch_analyser.service import fields
from batch_analyser.service.api import create_app
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker
from fake_tasks import FakeTasks
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pipeline_contracts.names import Names
from service_kit.clock import ManualClock

CALLS = {
    ("GET", "list"): fields.LIST_JOBS,
    ("GET", "get"): fields.GET_JOB,
    ("POST", "run-now"): fields.RUN_NOW,
    ("POST", "runs/submit"): fields.SUBMIT,
    ("POST", "runs/repair"): fields.REPAIR,
    ("GET", "runs/get"): fields.GET_RUN,
    ("GET", "runs/list"): fields.LIST_RUNS,
    ("GET", "runs/get-output"): fields.ONE_RUN,
    ("POST", "runs/cancel"): fields.ONE_RUN,
    ("POST", "runs/cancel-all"): fields.CANCEL_ALL,
}
NAMES = sorted({name for call in [*CALLS.values(), fields.TASK, fields.WHEEL] for name in (
    *call.taken, *call.harmless, *call.refused)})  # fmt: skip
ODD = [
    0, 1, 2, -1, 3, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 1.5, True, False, None, "", "1", "1_0", "٣", " 1",
    "true", "\0", "\ud83d", "x" * 5000, [], {}, [1], ["ingest"], {"task": "clean"}, {"ties": "first"},
    "99999999999999999999",
]  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.sampled_from(ODD), st.integers(), st.text(max_size=20), st.floats(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=5)), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip
BODIES = st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), VALUES, max_size=6)
FIND_ALL = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory, tasks: FakeTasks) -> Iterator[FlaskClient]:
    """Of a worker that never starts what is queued, with one run that is over."""
    store = RunStore(tmp_path_factory.mktemp("state") / "runs.sqlite", ManualClock())
    store._db.execute("PRAGMA synchronous = OFF")
    run, _ = store.add("x-batch", {"ingest": {}, "clean": {}}, {})
    store.end_early(run.run_id, "CANCELED")
    yield create_app(store, Worker(store, tasks.all(), 3), Names("x"), None, "http://here").test_client()
    store.close()


def body_of(document: object) -> bytes:
    """JSON, with half a character where one is."""
    return json.dumps(document).encode()


@FIND_ALL
@given(st.sampled_from(sorted(CALLS)), BODIES, st.sampled_from(["2.1", "2.2"]))
@example(("GET", "runs/get"), {"run_id": 99999999999999999999}, "2.2")
@example(("GET", "list"), {"name": 5}, "2.2")
@example(("POST", "run-now"), {"job_id": 1, "idempotency_token": "\ud83d"}, "2.2")
@example(("POST", "run-now"), {"job_id": 1, "job_parameters": {"ties": "\ud83d"}}, "2.2")
def test_no_body_gives_a_5xx(client: FlaskClient, call: tuple[str, str], body: dict[str, object], version: str) -> None:
    method, path = call
    answer = client.open(
        f"/api/{version}/jobs/{path}", method=method, data=body_of(body), content_type="application/json"
    )
    assert answer.status_code in {200, 400, 429}, answer.get_json()
    document = answer.get_json()
    if answer.status_code != 200:
        assert document["error_code"]
        assert document["message"]
        assert "Traceback" not in document["message"]
        assert len(document["message"]) < 3000


@FIND_ALL
@given(
    st.sampled_from([(method, path) for method, path in sorted(CALLS) if method == "GET"]),
    st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), st.one_of(
        st.sampled_from([str(one) for one in ODD if one != "\ud83d"]), st.text(max_size=20)), max_size=4),
)  # fmt: skip
@example(("GET", "runs/list"), {"page_token": "-9223372036854775809"})
def test_no_query_gives_a_5xx(client: FlaskClient, call: tuple[str, str], query: dict[str, str]) -> None:
    answer = client.get(f"/api/2.2/jobs/{call[1]}", query_string=query)
    assert answer.status_code in {200, 400}, answer.get_json()


@FIND_ALL
@given(st.sampled_from(sorted(CALLS)), st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), VALUES)
def test_every_unknown_field_is_a_400_that_names_it(
    client: FlaskClient, call: tuple[str, str], name: str, value: object
) -> None:
    method, path = call
    known = CALLS[call]
    if name in known.taken | known.harmless.keys() | known.refused.keys():
        return
    body = body_of({name: value})
    if b"\\ud83d" in body:
        return  # no JSON, which is what the answer says
    answer = client.open(f"/api/2.2/jobs/{path}", method=method, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert repr(name) in answer.get_json()["message"] or "not JSON" in answer.get_json()["message"]


@pytest.mark.parametrize("name", NAMES)
def test_every_known_field_is_taken_or_refused_by_name(client: FlaskClient, name: str) -> None:
    for (method, path), known in CALLS.items():
        body = body_of({name: {"some": "thing"}})
        answer = client.open(f"/api/2.2/jobs/{path}", method=method, data=body, content_type="application/json")
        assert answer.status_code == 400
        if name not in known.taken:
            assert f"'{name}'" in answer.get_json()["message"]


@FIND_ALL
@given(st.binary(max_size=200), st.sampled_from(sorted(CALLS)))
@example(b"[" * 200_000, ("POST", "run-now"))
@example(b'{"a":' * 200_000, ("GET", "list"))
@example(b'{"job_id":' + b"9" * 6000 + b"}", ("GET", "get"))
@example(b"{}" + b" " * (2 << 20), ("POST", "run-now"))
def test_no_bytes_give_a_5xx(client: FlaskClient, body: bytes, call: tuple[str, str]) -> None:
    method, path = call
    answer = client.open(f"/api/2.2/jobs/{path}", method=method, data=body, content_type="application/json")
    assert answer.status_code in {200, 400, 413}
    assert answer.get_json() is not None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/runs/99999999999999999999", 400),
        ("GET", "/runs/x", 404),
        ("PUT", "/api/2.2/jobs/list", 405),
        ("POST", "/api/2.2/jobs/create", 404),
        ("GET", "/api/2.0/jobs/list", 404),
    ],
)
def test_other_routes_are_json_too(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method)
    assert (answer.status_code, set(answer.get_json())) == (status, {"error_code", "message"})
