"""Asks the analyser to run its job, over the Jobs API, and waits for the end.

https://docs.databricks.com/api/workspace/jobs
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from pipeline_local.http_client import RESTART, HttpClient, ServiceError

RUN_DEADLINE_S = 3600.0
POLL_S = 0.2
TERMINAL = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}


class AnalyserClient:
    """One analyser.

    Raises:
        ServiceError: from every method.
    """

    def __init__(self, url: str, token: str, on_outage: Callable[[], None] = lambda: None) -> None:
        """``on_outage`` as ``HttpClient`` has it."""
        self._http = HttpClient("the analyser", url, token, RESTART, on_outage)

    def run(
        self,
        job: str,
        parameters: Mapping[str, str],
        on_task: Callable[[str, float], None] = lambda *_: None,
        only: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Start the job and block until it ends (an hour at most); returns each task's report by its key.

        ``only`` names the tasks to run (all, when empty).

        A run that the analyser's own death cut off is started again, once the analyser is back: its jobs are
        safe to repeat. ``on_task`` is told each task that ended and its seconds.
        """
        deadline = time.monotonic() + RUN_DEADLINE_S
        while time.monotonic() < deadline:
            run_id = self._start(job, parameters, only)
            ended = self._await(run_id, deadline, on_task)
            if ended["state"]["life_cycle_state"] != "INTERNAL_ERROR":
                return self._outputs(ended)
        raise ServiceError(f"the run of {job} did not end within {RUN_DEADLINE_S:.0f} s")

    def _start(self, job: str, parameters: Mapping[str, str], only: Sequence[str]) -> int:
        listed = self._call("GET", f"/api/2.2/jobs/list?name={job}")
        ids = [entry["job_id"] for entry in listed.get("jobs", [])]
        if not ids:
            raise ServiceError(f"the analyser has no job {job}")
        body = {
            "job_id": ids[0],
            "job_parameters": dict(parameters),
            **({"only": list(only)} if only else {}),
            "idempotency_token": uuid.uuid4().hex,
        }
        started = self._call("POST", "/api/2.2/jobs/run-now", body)
        return int(started["run_id"])

    def _await(self, run_id: int, deadline: float, on_task: Callable[[str, float], None]) -> dict[str, Any]:
        told: set[str] = set()
        while time.monotonic() < deadline:
            run = self._call("GET", f"/api/2.2/jobs/runs/get?run_id={run_id}")
            for task in run.get("tasks", []):
                if task["state"].get("result_state") and task["task_key"] not in told:
                    told.add(task["task_key"])
                    on_task(task["task_key"], (task["end_time"] - task["start_time"]) / 1000)
            if run["state"]["life_cycle_state"] in TERMINAL:
                return run
            time.sleep(POLL_S)
        raise ServiceError(f"run {run_id} did not end within {RUN_DEADLINE_S:.0f} s")

    def _outputs(self, run: Mapping[str, Any]) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for task in run["tasks"]:
            output = self._call("GET", f"/api/2.2/jobs/runs/get-output?run_id={task['run_id']}")
            if task["state"].get("result_state") == "FAILED":
                raise ServiceError(f"task {task['task_key']} failed: {output.get('error')}")
            outputs[task["task_key"]] = msgspec.json.decode(output.get("logs") or "null")
        if run["state"].get("result_state") != "SUCCESS":
            state = run["state"]
            ended = state.get("result_state") or state["life_cycle_state"]
            raise ServiceError(f"the run ended as {ended}: {state['state_message']}")
        return outputs

    def _call(self, method: Literal["GET", "POST"], path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = self._http.ask(method, path, body)
        if answer.status != 200:
            raise ServiceError(f"{method} {path}: {answer.status} {answer.said}")
        document: dict[str, Any] = answer.document
        return document
