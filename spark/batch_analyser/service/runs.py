"""What a run is, of a job or of one of its tasks, and how it ends."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

LifeCycle = Literal["QUEUED", "RUNNING", "TERMINATING", "TERMINATED", "INTERNAL_ERROR"]
Result = Literal["SUCCESS", "FAILED", "UPSTREAM_FAILED", "CANCELED", "TIMEDOUT"]
Ended = Literal["CANCELED", "TIMEDOUT"]
RunType = Literal["JOB_RUN", "SUBMIT_RUN"]
TERMINAL: Final = frozenset({"TERMINATED", "INTERNAL_ERROR"})
MESSAGES: Final[Mapping[Ended, str]] = {"CANCELED": "Run cancelled.", "TIMEDOUT": "Run timed out."}


@dataclass(frozen=True)
class Run:
    """A run (``parent_id`` None, ``name`` the job's or the one given) or of one of its tasks.

    Times are Unix milliseconds. A task's parameters are its own only; ``task`` among them says what it does, where
    its key does not. ``depends_on`` are keys of tasks; ``timeout_s`` is its own, 0 for none; ``attempt`` counts the
    repairs of a run, and of a task those that began with it.
    """

    run_id: int
    parent_id: int | None
    name: str
    parameters: Mapping[str, str]
    life_cycle: LifeCycle
    result: Result | None
    message: str
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    output: str | None
    error: str | None
    run_type: RunType
    depends_on: Sequence[str] = ()
    timeout_s: int = 0
    attempt: int = 0

    @property
    def over(self) -> bool:
        """Whether it will not change again."""
        return self.life_cycle in TERMINAL


@dataclass(frozen=True)
class Repair:
    """A repair of a run: its number, when it began, and how the attempt before it ended (times in Unix ms)."""

    repair_id: int
    attempt: int
    before: Run
    started_ms: int


class QueueFullError(Exception):
    """No room for another run now."""


def run_of(row: sqlite3.Row) -> Run:
    """A row of the table of runs."""
    fields = {name: row[name] for name in Run.__dataclass_fields__ if name not in {"parameters", "depends_on"}}
    return Run(**fields, parameters=json.loads(row["parameters"]), depends_on=json.loads(row["depends_on"]))
