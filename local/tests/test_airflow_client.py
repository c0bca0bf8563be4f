import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from pipeline_local.airflow_client import AirflowClient, TaskRun
from pipeline_local.http_client import ServiceError
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy

DOCUMENT = {"task_id": "clean", "state": "success", "try_number": 1, "duration": -42.7}


@pytest.mark.parametrize(
    ("began", "ended", "seconds"),
    [
        ("2026-05-01T07:43:52.500Z", "2026-05-01T07:44:01.750Z", 9.25),  # over a minute's end
        ("2026-05-01T07:44:01.000000Z", "2026-05-01T07:44:01Z", 0.0),
        ("2026-05-01T07:43:52Z", None, 0.0),
        (None, None, 0.0),
    ],
)
def test_seconds_are_those_between_begin_and_end(began: str | None, ended: str | None, seconds: float) -> None:
    task = TaskRun.of({**DOCUMENT, "start_date": began, "end_date": ended})
    assert task == TaskRun("clean", "success", 1, seconds)


def test_a_task_that_waits_has_no_state() -> None:
    assert TaskRun.of({**DOCUMENT, "state": None, "start_date": None, "end_date": None}).state == ""


class Airflow(BaseHTTPRequestHandler):
    """Starts each run once; its server says how often the DAG is ``unknown`` yet and how many answers are ``lost``."""

    server: "AirflowServer"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.unknown:
            self.server.unknown -= 1
            self.answer(404, {"detail": "not found"})
            return
        run = {"dag_run_id": body["dag_run_id"], "state": "queued", "conf": body["conf"]}
        dates = {one["logical_date"] for one in self.server.runs}
        if body["logical_date"] in dates:
            self.answer(409, {"detail": "exists"})
            return
        self.server.runs.append(run | {"logical_date": body["logical_date"]})
        if self.server.lost:
            self.server.lost -= 1
            self.close_connection = True
            return
        self.answer(200, run)

    def do_GET(self) -> None:
        if self.path == "/api/v2/importErrors":
            self.answer(200, {"import_errors": []})
            return
        found = [run for run in self.server.runs if self.path.endswith(quote(run["dag_run_id"]))]
        self.answer(200, found[0]) if found else self.answer(404, {"detail": "not found"})

    def answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class AirflowServer(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Airflow)
        self.runs: list[dict[str, Any]] = []
        self.unknown = 0
        self.lost = 0


@pytest.fixture
def server() -> Iterator[AirflowServer]:
    with AirflowServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(server: AirflowServer) -> AirflowClient:
    known = RetryPolicy(deadline_s=90.0, first_wait_s=0.5, clock=ManualClock())
    return AirflowClient(f"http://127.0.0.1:{server.server_port}", known=known)


def test_a_run_is_started_once_its_dag_is_known(server: AirflowServer, client: AirflowClient) -> None:
    server.unknown = 3
    run = client.trigger("dag", {"always": True})
    assert [(one["dag_run_id"], one["conf"]) for one in server.runs] == [(run.run_id, {"always": True})]


def test_a_dag_that_stays_unknown_is_told(server: AirflowServer, client: AirflowClient) -> None:
    server.unknown = 1_000_000
    with pytest.raises(ServiceError, match="did not start dag: 404"):
        client.trigger("dag", {})


def test_a_run_whose_answer_was_lost_is_followed(server: AirflowServer, client: AirflowClient) -> None:
    server.lost = 1
    run = client.trigger("dag", {})
    assert [one["dag_run_id"] for one in server.runs] == [run.run_id]
    assert run.state == "queued"
