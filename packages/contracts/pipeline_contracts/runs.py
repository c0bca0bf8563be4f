"""The analyser's ``GET /v1/runs``: states of its newest runs, without what they were given or left."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

State = Literal["queued", "running", "ending", "success", "failed", "not_run", "cancelled", "timed_out", "interrupted"]
"""``ending``: to be cancelled, not yet over. ``not_run``: a task whose dependency failed. ``interrupted``: the service
ended meanwhile."""

MOST_RUNS: Final = 50
"""How many runs one answer holds at most."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""With a zone."""


class TaskState(msgspec.Struct, frozen=True):
    """A task of a run. Times are UTC; ``error`` is one line in which no character is invisible or a control one."""

    name: str
    state: State
    started: Moment | None
    ended: Moment | None
    error: str | None


class RunState(msgspec.Struct, frozen=True):
    """A run, with its tasks in their order. Times and ``error`` as of a task."""

    id: int
    name: str
    state: State
    created: Moment
    started: Moment | None
    ended: Moment | None
    error: str | None
    tasks: list[TaskState]


class RunStates(msgspec.Struct, frozen=True):
    """The answer: the newest run first. ``queued`` counts all runs that wait."""

    queued: int
    runs: list[RunState]
