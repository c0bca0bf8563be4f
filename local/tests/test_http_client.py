from typing import Any

import msgspec
import pytest
import urllib3
from pipeline_local.analyser_client import AnalyserClient
from pipeline_local.http_client import Answer, HttpClient, ServiceError
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy


@pytest.mark.parametrize(
    ("body", "document", "said"),
    [
        (b'{"message":"no such job"}', {"message": "no such job"}, "no such job"),
        (b'{"detail":"no"}', {"detail": "no"}, '{"detail":"no"}'),
        (b"[1]", [1], "[1]"),
        (b"<html>", None, "<html>"),
        (b"", None, ""),
    ],
)
def test_what_an_answer_says(body: bytes, document: object, said: str) -> None:
    answer = Answer(400, body)
    assert (answer.document, answer.said) == (document, said)


def test_a_request_is_sent_again_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def request(_self: object, *arguments: Any, body: bytes) -> urllib3.HTTPResponse:
        asked.append((*arguments, body))
        if len(asked) < 3:
            raise urllib3.exceptions.ProtocolError("connection reset")
        return urllib3.HTTPResponse(b"{}", status=200)

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    outage = RetryPolicy(deadline_s=120.0, clock=ManualClock())
    assert HttpClient("it", "http://x", outage=outage).ask("POST", "/y", {"a": 1}).status == 200
    assert asked == [("POST", "http://x/y", b'{"a":1}')] * 3


def test_nobody_answers_for_too_long() -> None:
    clock = ManualClock()
    outage = RetryPolicy(deadline_s=120.0, clock=clock)
    with pytest.raises(ServiceError, match=r"the analyser at http://127\.0\.0\.1:9 does not answer"):
        HttpClient("the analyser", "http://127.0.0.1:9", outage=outage).ask("GET", "/")
    assert clock.monotonic() == pytest.approx(120)


def test_a_run_that_was_cancelled_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks may all have ended well before."""
    state = {"life_cycle_state": "TERMINATED", "result_state": "CANCELED", "state_message": "asked to"}
    answers = {
        "/api/2.2/jobs/list?name=job": b'{"jobs":[{"job_id":1}]}',
        "/api/2.2/jobs/run-now": b'{"run_id":2}',
        "/api/2.2/jobs/runs/get?run_id=2": msgspec.json.encode({"tasks": [], "state": state}),
    }
    monkeypatch.setattr(HttpClient, "ask", lambda _self, _method, path, *_: Answer(200, answers[path]))
    with pytest.raises(ServiceError, match=r"^the run ended as CANCELED: asked to$"):
        AnalyserClient("http://x", "t").run("job", {})
