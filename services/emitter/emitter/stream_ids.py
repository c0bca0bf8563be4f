"""Which stream stands under a name: asked for seldom, and by one lane for all of them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec
from service_kit.clock import Clock


class Unknown(msgspec.Struct, frozen=True):
    """Nobody could say which stream it is."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class _Question:
    asked_s: float
    answer: Future[str | Unknown] = field(default_factory=Future)


class StreamIds:
    """Log ids by name of stream. Methods may be called from any thread.

    ``ask`` blocks for one request to the other side, and returns a log id or why there is none.
    """

    def __init__(self, ask: Callable[[str], str | Unknown], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._questions: dict[str, _Question] = {}
        self._lock = threading.Lock()

    def get(self, name: str, within_s: float | None = None) -> str | Unknown:
        """The log id as it was at most ``within_s`` seconds ago; without that, the last one known.

        Blocks while it is asked for. Who wants it meanwhile gets the same answer, also the one that there is none;
        that one is not kept.
        """
        now = self._clock.monotonic()
        with self._lock:
            question = self._questions.get(name)
            known = question is not None and (within_s is None or now - question.asked_s <= within_s)
            if question is None or not known:
                question = self._questions[name] = _Question(now)
        if not known:
            self._settle(name, question)
        return question.answer.result()

    def forget(self, name: str) -> None:
        """Something went wrong: the stream may be another one by now."""
        with self._lock:
            self._questions.pop(name, None)

    def _settle(self, name: str, question: _Question) -> None:
        try:
            found = self._ask(name)
        except BaseException as error:
            self.forget(name)
            question.answer.set_exception(error)
            raise
        if isinstance(found, Unknown):
            self.forget(name)
        question.answer.set_result(found)
