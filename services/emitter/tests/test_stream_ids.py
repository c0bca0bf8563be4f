import threading

import pytest
from emitter.errors import TransportError
from emitter.stream_ids import StreamIds, Unknown
from service_kit.clock import ManualClock


class Asked:
    """Counts, and numbers the ids. A reason given to it is its answer."""

    def __init__(self) -> None:
        self.times = 0
        self.reason: str | None = None

    def __call__(self, name: str) -> str | Unknown:
        self.times += 1
        return f"{name}@{self.times}" if self.reason is None else Unknown(self.reason)


def test_an_id_is_as_old_as_is_allowed() -> None:
    clock, asked = ManualClock(), Asked()
    ids = StreamIds(asked, clock)
    assert ids.get("a") == "a@1"
    clock.sleep(1)
    assert ids.get("a", within_s=1) == "a@1"
    clock.sleep(0.1)
    assert ids.get("a") == "a@1"
    assert ids.get("a", within_s=1) == "a@2"
    assert ids.get("b") == "b@3"
    ids.forget("a")
    assert ids.get("a") == "a@4"


def test_a_failure_is_not_kept() -> None:
    asked = Asked()
    ids = StreamIds(asked, ManualClock())
    asked.reason = "no answer"
    assert ids.get("a") == Unknown("no answer")
    asked.reason = None
    assert ids.get("a") == "a@2"


def test_an_error_is_not_kept() -> None:
    def ask(name: str) -> str:
        if errors:
            raise errors.pop()
        return name

    errors = [TransportError("broken")]
    ids = StreamIds(ask, ManualClock())
    with pytest.raises(TransportError, match="broken"):
        ids.get("a")
    assert ids.get("a") == "a"


def test_lanes_share_one_question() -> None:
    asked, may_answer = threading.Event(), threading.Event()
    questions = []

    def ask(name: str) -> str:
        questions.append(name)
        asked.set()
        assert may_answer.wait(10)
        return name

    ids = StreamIds(ask, ManualClock())
    answers: list[str | Unknown] = []
    lanes = [threading.Thread(target=lambda: answers.append(ids.get("a")), daemon=True) for _ in range(4)]
    lanes[0].start()
    assert asked.wait(10)
    for lane in lanes[1:]:
        lane.start()
    may_answer.set()
    for lane in lanes:
        lane.join(10)
    assert (questions, answers) == (["a"], ["a"] * 4)
