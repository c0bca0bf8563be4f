"""The analyser's runs over a service that answers anything."""

import json

import pytest
from dashboard.blocks import Kept
from dashboard.live.looks import NoAnswerError
from dashboard.remote import runs
from dashboard.remote.runs import AnalyserRuns
from service_kit.clock import ManualClock

RUN = {"id": 1, "name": "pinterest-batch", "state": "failed", "created": "2026-11-30T05:00:00Z", "started": None}
type Answer = tuple[int, bytes] | NoAnswerError
WHOLE = {**RUN, "ended": "2026-11-30T05:00:09Z", "error": "no such luck", "tasks": []}
ANSWER = {"queued": 2, "runs": [WHOLE]}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    given: list[Answer] = []

    def ask(url: str, within_s: float, most: int) -> tuple[int, bytes]:
        assert url == "http://analyser:8090/v1/runs?limit=20"
        answer = given.pop(0)
        if isinstance(answer, NoAnswerError):
            raise answer
        return answer

    monkeypatch.setattr(runs, "ask", ask)
    return given


def test_runs_are_kept_when_the_analyser_is_away(answers: list[Answer]) -> None:
    source = AnalyserRuns("http://analyser:8090", Kept(ManualClock(), 30))
    wrong: list[Answer] = [
        (500, b""),
        (200, b"nonsense"),
        (200, b'{"runs":3}'),
        (200, b"\xff"),
        (200, json.dumps({"queued": 2, "runs": [{**WHOLE, "created": "2026-11-30T05:00:00"}]}).encode()),
        (200, json.dumps({"queued": 0, "runs": [{**WHOLE, "started": "2026-11-30T05:00:00"}]}).encode()),
        NoAnswerError("nothing answers"),
    ]
    for answer in wrong:
        answers.append(answer)
        source.look()
        assert source.block().state == "error"
    answers.append((200, json.dumps(ANSWER).encode()))
    source.look()
    assert (source.block().state, source.block().known.queued) == ("fresh", 2)
    assert source.block().known.runs[0].error == "no such luck"
    for answer in wrong:
        answers.append(answer)
        source.look()
        assert (source.block().state, source.block().known.queued) == ("stale", 2)
        assert "the analyser's runs" in source.block().why
