import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pipeline_local import airflow_client
from pipeline_local.airflow_client import AirflowClient, AirflowError, DagRun, TaskRun
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


@contextmanager
def answering(statuses: Callable[[int], int]) -> Iterator[tuple[AirflowClient, list[str]]]:
    """A server whose answer to the n-th request (from 1) has the status ``statuses(n)``; and the requests so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(statuses(len(asked)))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield AirflowClient(f"http://127.0.0.1:{server.server_port}"), asked
        server.shutdown()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    manual = ManualClock()
    policy = RetryPolicy(deadline_s=30.0, first_wait_s=0.5, clock=manual, uniform=lambda _low, high: high)
    monkeypatch.setattr(airflow_client, "MARK_POLICY", policy)
    return manual


def test_a_task_is_marked_again_while_the_database_is_locked(clock: ManualClock) -> None:
    began = clock.monotonic()
    with answering(lambda number: 500 if number < 3 else 200) as (client, asked):
        client.set_state("dag", DagRun("run", "running", ""), "clean", "failed")
    assert len(asked) == 3
    assert set(asked) == {asked[0]}
    assert clock.monotonic() - began == 0.5 + 1.0


def test_a_task_that_cannot_be_marked_is_given_up(clock: ManualClock) -> None:
    began = clock.monotonic()
    with answering(lambda _number: 500) as (client, _), pytest.raises(AirflowError, match="mark clean as failed: 500"):
        client.set_state("dag", DagRun("run", "running", ""), "clean", "failed")
    assert clock.monotonic() - began == 30.0


@pytest.mark.usefixtures("clock")
def test_a_refusal_is_told_at_once() -> None:
    with answering(lambda _number: 404) as (client, asked), pytest.raises(AirflowError, match="404"):
        client.set_state("dag", DagRun("run", "running", ""), "clean", "failed")
    assert len(asked) == 1
