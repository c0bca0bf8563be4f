"""The lifecycle of one service: states, timers, transitions. No process, no clock, no file.

| from | what happens | to |
|---|---|---|
| waiting | all that it waits for is ready, and the disk has space | starting |
| starting, failing, unready | it is ready | ready |
| starting, failing | it answers, but is not ready ``start_s`` after it was started | unready |
| ready | it is not ready, or does not answer | unready |
| any that runs | it ends, or is killed: no answer within ``start_s`` of its start, or for ``silence_s`` later | \
restarting; failing from the ``failing_after``-th time in a row |
| restarting, failing | the pause is over, and the disk has space | starting; failing stays failing until it is ready |
| restarting, failing | the disk has space again, or `pipeline up` asks for it (``try_now``) | as after the pause |

The pause doubles from ``first_pause_s`` to ``longest_pause_s``, half of it random. A service that was ready for
``steady_s`` begins again with the first pause. What it waits for holds back its first start alone: it must live without
what goes away later.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline_local.status import ServiceState

_DOUBLINGS: Final = 30


@dataclass(frozen=True)
class Limits:
    """How long the supervisor waits, in seconds, and after how many failures in a row a service counts as failing."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 60.0
    failing_after: int = 5
    steady_s: float = 60.0
    start_s: float = 180.0
    silence_s: float = 60.0
    stop_s: float = 25.0


class Health(NamedTuple):
    """The result of a health check: whether the service answers, whether it is ready, and why not."""

    live: bool
    ready: bool
    said: str | None = None


class Lifecycle:
    """One service. ``now`` is seconds of a clock that never goes back. Every method returns at once."""

    def __init__(self, limits: Limits, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._limits = limits
        self._uniform = uniform
        self._started_at = 0.0
        self._answered = False
        self._ready_since: float | None = None
        self._silent_since: float | None = None
        self.state: ServiceState = "waiting"
        self.runs = False
        self.failures = 0
        """Failures in a row; 0 again once it has been ready for ``steady_s``."""
        self.starts = 0
        self.next_start_at = 0.0
        self.seconds_to_ready: float | None = None
        """Seconds from the last start until it was ready; None before that."""
        self._failure: str | None = None
        self._said: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it is not ready, or why it was restarted; None if neither applies."""
        return self._said if self.runs and self.state in {"starting", "unready"} else self._failure

    def may_start(self, now: float, waits_for: Sequence[str], *, has_space: bool) -> bool:
        """Whether to start it now. ``waits_for`` names the services it needs that are not ready."""
        if self.runs or not has_space or (self.state == "waiting" and waits_for):
            return False
        return now >= self.next_start_at

    def started(self, now: float) -> None:
        """It runs."""
        self.runs = True
        self.starts += 1
        self.seconds_to_ready = None
        self._started_at = now
        self._answered = False
        self._ready_since = self._silent_since = None
        self._said = None
        if self.state != "failing":
            self.state = "starting"

    def failed(self, now: float, reason: str) -> None:
        """It ended, was killed, or could not be started."""
        self.runs = False
        self.failures += 1
        self._failure = reason
        self.state = "failing" if self.failures >= self._limits.failing_after else "restarting"
        pause = min(self._limits.longest_pause_s, self._limits.first_pause_s * 2 ** min(self.failures - 1, _DOUBLINGS))
        self.next_start_at = now + self._uniform(pause / 2, pause)

    def seen(self, now: float, health: Health) -> str | None:
        """Take in one health check. Returns why the process must be killed, or None."""
        if health.live:
            self._answered = True
            self._silent_since = None
        if health.ready:
            self._seen_ready(now)
            return None
        self._seen_unready(now, health)
        return None if health.live else self._silent_for_too_long(now)

    def try_now(self, now: float) -> None:
        """The cause of its failures may be fixed: restart it now, as after a first failure."""
        if not self.runs and self.failures:
            self.failures = 0
            self._failure = None
            self.state = "restarting"
            self.next_start_at = now

    def cannot_be_managed(self, reason: str) -> None:
        """The supervisor could not manage it, for example not kill its process; whether it runs has not changed."""
        self.state = "failing"
        self._failure = reason

    def ended(self, *, is_gone: bool) -> None:
        """It was stopped with all others; ``is_gone``: whether its process has ended."""
        self.runs = not is_gone
        self.state = "stopped" if is_gone else "failed"

    def _seen_ready(self, now: float) -> None:
        if self.state != "ready":
            self.state = "ready"
            self._ready_since = now
        if self.seconds_to_ready is None:
            self.seconds_to_ready = round(now - self._started_at, 2)
        if self._ready_since is not None and now - self._ready_since >= self._limits.steady_s:
            self.failures = 0
            self._failure = None

    def _seen_unready(self, now: float, health: Health) -> None:
        is_late = now - self._started_at > self._limits.start_s and self._answered
        if self.state == "ready" or (self.state in {"starting", "failing"} and is_late):
            self.state = "unready"
            self._ready_since = None
        self._said = health.said

    def _silent_for_too_long(self, now: float) -> str | None:
        if self._silent_since is None:
            self._silent_since = now
        if not self._answered:
            limit, since = self._limits.start_s, self._started_at
            return (
                f"it did not answer within {limit:.0f} s of its start and was killed" if now - since > limit else None
            )
        limit, since = self._limits.silence_s, self._silent_since
        return f"it did not answer for {limit:.0f} s and was killed" if now - since > limit else None
