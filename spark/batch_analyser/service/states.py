"""``GET /v1/runs``: the states of the newest runs for whoever looks on, without a token. It only reads."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from flask import Blueprint, Response
from pipeline_contracts.runs import MOST_RUNS, RunState, RunStates, State, TaskState
from service_kit.inert import visible

from batch_analyser.service.arguments import arguments, within
from batch_analyser.service.fields import STATES
from batch_analyser.service.runs import LifeCycle, Result, Run
from batch_analyser.service.store import RunStore

ENDPOINT: Final = "states.runs"
_DEFAULT: Final = 20
_LONGEST_NAME: Final = 100
_LONGEST_ERROR: Final = 200
_GOING: Final[dict[LifeCycle, State]] = {
    "QUEUED": "queued",
    "RUNNING": "running",
    "TERMINATING": "ending",
    "INTERNAL_ERROR": "interrupted",
}
_ENDED: Final[dict[Result, State]] = {
    "SUCCESS": "success",
    "FAILED": "failed",
    "UPSTREAM_FAILED": "not_run",
    "CANCELED": "cancelled",
    "TIMEDOUT": "timed_out",
}


def states(store: RunStore) -> Blueprint:
    """The route. Its answer is bounded: ``MOST_RUNS`` runs, a name of 100 characters, an error of 200."""
    routes = Blueprint("states", __name__)

    @routes.get("/v1/runs")
    def runs() -> Response:
        limit = within(arguments(STATES), "limit", _DEFAULT, MOST_RUNS)
        found = [_run(run, store.tasks(run.run_id)) for run in store.newest(limit=limit)]
        body = msgspec.json.encode(RunStates(store.queued(), found))
        return Response(body, content_type="application/json", headers={"Cache-Control": "no-store"})

    return routes


def _run(run: Run, tasks: list[Run]) -> RunState:
    return RunState(
        id=run.run_id,
        name=visible(run.name[:_LONGEST_NAME]),
        state=_state(run),
        created=_time(run.created_ms),
        started=None if run.started_ms is None else _time(run.started_ms),
        ended=None if run.ended_ms is None else _time(run.ended_ms),
        error=_error(run),
        tasks=[_task(task) for task in tasks],
    )


def _task(task: Run) -> TaskState:
    return TaskState(
        name=visible(task.name[:_LONGEST_NAME]),
        state=_state(task),
        started=None if task.started_ms is None else _time(task.started_ms),
        ended=None if task.ended_ms is None else _time(task.ended_ms),
        error=_error(task),
    )


def _state(run: Run) -> State:
    return _ENDED[run.result or "FAILED"] if run.life_cycle == "TERMINATED" else _GOING[run.life_cycle]


def _error(run: Run) -> str | None:
    lines = run.message.splitlines() if run.over and run.result != "SUCCESS" else []
    return visible(lines[0][:_LONGEST_ERROR]) if lines else None


def _time(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, UTC)
