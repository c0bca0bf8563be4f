"""One service under watch: its last looks, and the state that they make. Looked at on a thread of its own."""

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from service_kit.clock import Clock

from dashboard.live.looks import CheckLine, Look, NoAnswerError, Source
from dashboard.live.samples import Samples, Trend

State = Literal["loading", "ready", "not ready", "slow", "down", "not measured", "left out", "empty"]
"""``slow``: no answer to the last look, and the one before is young. ``left out``: it is not started here."""

GIVEN_UP_S: Final = 3.0
"""A service whose looks have brought no answer for longer is down."""
SILENT_S: Final = 4.0
"""A look that takes longer is no answer, though it has not ended: a source may take its time to fail."""


@dataclass(frozen=True)
class Seen:
    """How a service is now. ``look`` is the last answer, ``at`` when it came; both None before the first one."""

    state: State
    why: str
    look: Look | None
    at: datetime | None

    def part(self, *only: str) -> tuple[State, CheckLine | None]:
        """State and first failing check of a part: of the checks that ``only`` names (``CheckLine.is_of``).

        A part that has no check is not measured.
        """
        if self.state not in {"ready", "not ready"} or self.look is None:
            return self.state, None
        if only and not any(check.is_of(*only) for check in self.look.checks):
            return "not measured", None
        failing = self.look.failing(*only)
        return ("ready" if failing is None else "not ready"), failing


class Watched:
    """Safe to use from any thread; ``look`` by one at a time."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self.samples = Samples()
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: tuple[Look, datetime] | None = None
        self._began: float | None = None
        self._failed: NoAnswerError | None = None
        self._failing_since: float | None = None

    def look(self) -> None:
        """Look once and keep what it brings; blocks as long as the source does."""
        with self._lock:
            self._began = self._clock.monotonic()
        try:
            look = self._source.look()
        except NoAnswerError as error:
            with self._lock:
                if self._failing_since is None:
                    self._failing_since = self._clock.monotonic()
                self._failed, self._began = error, None
            return
        now = self._clock.monotonic()
        if look.numbers is not None:
            self.samples.add(now, look.numbers)
        with self._lock:
            self._answer = look, self._clock.now()
            self._failed = self._failing_since = self._began = None

    def seen(self) -> Seen:
        """As of now; does not block."""
        now = self._clock.monotonic()
        with self._lock:
            (look, at), failed, began = self._answer or (None, None), self._failed, self._began
            since = self._failing_since
        if began is not None and now - began > SILENT_S:
            failed, since = NoAnswerError(f"no answer for {now - began:.0f} s"), since or began
        if failed is not None:
            waits = look is not None and since is not None and now - since < GIVEN_UP_S and not failed.gone
            return Seen("slow" if waits else "down", str(failed), look, at)
        if look is None:
            return Seen("loading", "", None, None)
        failing = look.failing()
        if failing is None:
            return Seen("ready", look.why, look, at)
        return Seen("not ready", f"{failing.name}: {failing.detail}", look, at)

    def number(self, name: str) -> float | None:
        """The last value of a number; None where the last look did not bring it."""
        with self._lock:
            answer, failed = self._answer, self._failed
        if failed is not None or answer is None or answer[0].numbers is None:
            return None
        return answer[0].numbers.get(name)

    def rate(self, name: str) -> float | None:
        """Per second; None where the last look did not bring the number."""
        return None if self.number(name) is None else self.samples.rate(name, self._clock.monotonic())

    def history(self, name: str) -> list[float | None]:
        """Rates of the last five minutes, as ``samples`` has them."""
        return self.samples.history(name, self._clock.monotonic())

    def trend(self, name: str, least: float) -> Trend:
        """Whether the number grew or shrank in the last minute."""
        return "" if self.number(name) is None else self.samples.trend(name, self._clock.monotonic(), least)
