"""Starts a run of a DAG and follows it, by Airflow's REST API.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

from service_kit.retries import RetryPolicy, retry

from pipeline_local.http_client import RESTART, HttpClient, ServiceError

RUN_DEADLINE_S = 7200.0
KNOWN = RetryPolicy(deadline_s=90.0, first_wait_s=0.5, longest_wait_s=2.0)
"""For a DAG whose file Airflow has yet to read."""
POLL_S = 0.5
OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}
_API = "/api/v2"
_LOG_LINES = 15


class _UnknownDagError(ServiceError):
    """Airflow has no such DAG, or has not read its file yet."""


@dataclass(frozen=True)
class TaskRun:
    """One try of one task. ``seconds`` is 0 where it never ran."""

    task: str
    state: str
    tries: int
    seconds: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """As the API shows it.

        Its own ``duration`` is wrong on SQLite, where Airflow 3.2.1 counts the seconds within the minute twice.
        """
        began, ended = document["start_date"], document["end_date"]
        seconds = 0.0
        if began is not None and ended is not None:
            seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
        return cls(document["task_id"], document["state"] or "", document["try_number"], seconds)


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG, and the page where a person sees it."""

    run_id: str
    state: str
    page: str
    tasks: tuple[TaskRun, ...] = ()


class AirflowClient:
    """One Airflow that asks for no login.

    Raises:
        ServiceError: from every method.
    """

    def __init__(
        self,
        url: str,
        page: str | None = None,
        known: RetryPolicy = KNOWN,
        on_outage: Callable[[], None] = lambda: None,
    ) -> None:
        """``page`` is where a person's browser finds it; None: at ``url``, too. ``on_outage`` as ``HttpClient``."""
        self._page = page or url
        self._known = known
        self._http = HttpClient("Airflow", url, outage=RESTART, on_outage=on_outage)

    def trigger(self, dag_id: str, params: Mapping[str, Any]) -> DagRun:
        """Start a run. Blocks while Airflow has not read the DAG's file yet (90 s at most)."""
        # With a date, the run knows those before it, and looks only for what came since.
        date = datetime.now(UTC).isoformat()
        run_id = f"manual__{date}_{uuid.uuid4().hex[:8]}"
        body = {"dag_run_id": run_id, "logical_date": date, "conf": dict(params)}
        runs = f"{_API}/dags/{quote(dag_id)}/dagRuns"

        def start() -> DagRun:
            answer = self._http.ask("POST", runs, body)
            if answer.status == 409:
                # It was started before, and the answer to that was lost.
                there = self._http.ask("GET", f"{runs}/{quote(run_id)}")
                answer = there if there.status == 200 else answer
            if answer.status == 200:
                return self._run(dag_id, answer.document)
            error = _UnknownDagError if answer.status == 404 else ServiceError
            raise error(f"Airflow did not start {dag_id}: {answer.status} {self._broken_dags() or answer.said}")

        return retry(start, self._known, _UnknownDagError)

    def follow(self, dag_id: str, run: DagRun, on_task: Callable[[TaskRun], None]) -> DagRun:
        """Block until the run is over (two hours at most); ``on_task`` is told each task that ended, in order."""
        deadline = time.monotonic() + RUN_DEADLINE_S
        told: set[str] = set()
        while time.monotonic() < deadline:
            # The run before its tasks: what ended it is then among them.
            state = self._get(f"/dags/{quote(dag_id)}/dagRuns/{quote(run.run_id)}")["state"]
            tasks = self.tasks(dag_id, run.run_id)
            for task in tasks:
                if task.state in OVER and task.task not in told:
                    told.add(task.task)
                    on_task(task)
            if state in {"success", "failed"}:
                return DagRun(run.run_id, state, run.page, tuple(tasks))
            time.sleep(POLL_S)
        raise ServiceError(f"the run {run.run_id} did not end within {RUN_DEADLINE_S:.0f} s: {run.page}")

    def log(self, dag_id: str, run: DagRun, task: TaskRun) -> list[str]:
        """The last lines that a task wrote."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run.run_id)}/taskInstances/{quote(task.task)}/logs/{task.tries}"
        content = self._get(path)["content"]
        lines = [f"{entry['event']} {_reasons(entry)}".rstrip() for entry in content if isinstance(entry, dict)]
        return lines[-_LOG_LINES:]

    def tasks(self, dag_id: str, run_id: str) -> list[TaskRun]:
        """What became of each task so far, in the order in which they ended."""
        listed = self._get(f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances")["task_instances"]
        listed.sort(key=lambda task: (task["end_date"] or "9", task["start_date"] or "9"))
        return [TaskRun.of(task) for task in listed]

    def _run(self, dag_id: str, document: Mapping[str, Any]) -> DagRun:
        run_id = document["dag_run_id"]
        return DagRun(run_id, document["state"], f"{self._page}/dags/{quote(dag_id)}/runs/{quote(run_id)}")

    def _broken_dags(self) -> str:
        errors = self._get("/importErrors")["import_errors"]
        return "\n".join(f"{error['filename']}: {error['stack_trace']}" for error in errors)

    def _get(self, path: str) -> Any:
        answer = self._http.ask("GET", _API + path)
        if answer.status != 200:
            raise ServiceError(f"GET {path}: {answer.status} {answer.said}")
        return answer.document


def _reasons(entry: Mapping[str, Any]) -> str:
    return "; ".join(f"{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or ())
