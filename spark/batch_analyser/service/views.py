"""Jobs and runs as the Jobs API shows them. https://docs.databricks.com/api/workspace/jobs"""

from collections.abc import Sequence
from typing import Any, Final

from batch_analyser.jobs.catalogue import CHOICES
from batch_analyser.policies import OPTIONS
from batch_analyser.service.plan import chain
from batch_analyser.service.runs import Repair, Run

_WHO: Final = "analyser"
_ENDED: Final = {
    "SUCCESS": ("SUCCESS", "SUCCESS"),
    "FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "UPSTREAM_FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "CANCELED": ("USER_CANCELED", "CLIENT_ERROR"),
    "TIMEDOUT": ("CANCELED", "CLIENT_ERROR"),
}
"""``status.termination_details``: code and type, by result."""


def job(
    job_id: int, name: str, tasks: Sequence[str], *, with_tasks: bool = True, with_user: bool = True
) -> dict[str, Any]:
    """A job and its settings."""
    settings: dict[str, Any] = {
        "name": name,
        "max_concurrent_runs": 1,
        "queue": {"enabled": True},
        "format": "MULTI_TASK",
        "parameters": [
            *({"name": parameter, "default": choices[0]} for parameter, choices in CHOICES.items()),
            *({"name": parameter, "default": ""} for parameter in OPTIONS),
        ],
    }
    if with_tasks:
        settings["tasks"] = [{"task_key": task, **_dependencies(before)} for task, before in chain(tasks).items()]
    user = {"creator_user_name": _WHO} if with_user else {}
    return {"job_id": job_id, **user, "settings": settings, "created_time": 0}


def run(shown: Run, job_id: int, tasks: Sequence[Run], base_url: str) -> dict[str, Any]:
    """A run, with its tasks where they are given."""
    view: dict[str, Any] = {
        "job_id": job_id,
        "run_id": shown.run_id,
        "number_in_job": shown.run_id,
        "original_attempt_run_id": shown.run_id,
        "run_name": shown.name,
        "run_type": shown.run_type,
        "format": "MULTI_TASK",
        "trigger": "ONE_TIME",
        "creator_user_name": _WHO,
        "run_page_url": page(shown, base_url),
        **_times(shown),
        **_state(shown),
        "job_parameters": [{"name": name, "value": value} for name, value in shown.parameters.items()],
    }
    if tasks:
        view["tasks"] = [
            {
                "run_id": task.run_id,
                "task_key": task.name,
                **_dependencies(task.depends_on),
                "attempt_number": task.attempt,
                "run_page_url": page(task, base_url),
                **_times(task),
                **_state(task),
            }
            for task in tasks
        ]
    return view


def repair_history(shown: Run, repairs: Sequence[Repair], tasks: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    """The first attempt and each repair, oldest first; ``tasks`` are those that each of them began."""
    ends = [*(repair.before for repair in repairs), shown]
    began = [None, *repairs]
    return [
        {
            "type": "ORIGINAL" if repair is None else "REPAIR",
            "id": shown.run_id if repair is None else repair.repair_id,
            "start_time": (end.started_ms or 0) if repair is None else repair.started_ms,
            "end_time": end.ended_ms or 0,
            **_state(end),
            "task_run_ids": [task.run_id for task in own],
        }
        for repair, end, own in zip(began, ends, tasks, strict=True)
    ]


def output(task: Run, job_id: int, base_url: str) -> dict[str, Any]:
    """What a task left: its report as text, or its error."""
    view: dict[str, Any] = {
        "metadata": {
            "job_id": job_id,
            "run_id": task.run_id,
            "task_key": task.name,
            "run_page_url": page(task, base_url),
            **_times(task),
            **_state(task),
        }
    }
    if task.output is not None:
        view |= {"logs": task.output, "logs_truncated": False}
    if task.error is not None:
        view["error"] = task.error
    return view


def _dependencies(keys: Sequence[str]) -> dict[str, Any]:
    return {"depends_on": [{"task_key": key} for key in keys]} if keys else {}


def page(shown: Run, base_url: str) -> str:
    """Where a person looks at it."""
    return f"{base_url}/runs/{shown.run_id}"


def _state(shown: Run) -> dict[str, Any]:
    """The state, and the newer ``status`` that says the same in other words."""
    state: dict[str, Any] = {
        "life_cycle_state": shown.life_cycle,
        "state_message": shown.message,
        "user_cancelled_or_timedout": shown.result in {"CANCELED", "TIMEDOUT"},
    }
    status: dict[str, Any] = {"state": "TERMINATED" if shown.over else shown.life_cycle}
    if shown.result is not None:
        state["result_state"] = shown.result
        code, kind = _ENDED[shown.result]
        if shown.life_cycle == "INTERNAL_ERROR":
            code, kind = "INTERNAL_ERROR", "INTERNAL_ERROR"
        status["termination_details"] = {"code": code, "type": kind, "message": shown.message}
    return {"state": state, "status": status}


def _times(shown: Run) -> dict[str, int]:
    """0 stands for "not yet", as in the reference."""
    start, end = shown.started_ms or 0, shown.ended_ms or 0
    return {
        "start_time": start,
        "end_time": end,
        "execution_duration": end - start if end else 0,
        "setup_duration": 0,
        "cleanup_duration": 0,
        "run_duration": end - start if end else 0,
    }
