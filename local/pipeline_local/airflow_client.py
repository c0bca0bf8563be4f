"""Starts a run of a DAG and follows it, by Airflow's REST API.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self
from urllib.parse import quote

import urllib3
from service_kit.retries import RetryPolicy, retry

RUN_DEADLINE_S = 7200.0
KNOWN_DEADLINE_S = 90.0
OUTAGE_S = 120.0
POLL_S = 0.5
OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}
MARK_POLICY = RetryPolicy(deadline_s=30.0, first_wait_s=0.5)
_LOG_LINES = 15


class AirflowError(RuntimeError):
    """Airflow cannot be reached or refused the request; the message holds its own words."""


class AirflowBusyError(AirflowError):
    """Airflow could not do it now; it may the next time."""


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
        AirflowError: from every method.
    """

    def __init__(self, url: str, page: str | None = None) -> None:
        """``page`` is where a person's browser finds it; None: at ``url``, too."""
        self._url = url
        self._page = page or url
        self._http = urllib3.PoolManager(timeout=30, retries=False)

    def trigger(self, dag_id: str, params: Mapping[str, Any]) -> DagRun:
        """Start a run. Blocks while Airflow has not read the DAG's file yet (90 s at most)."""
        deadline = time.monotonic() + KNOWN_DEADLINE_S
        # With a date, the run knows those before it, and looks only for what came since.
        body = {"logical_date": datetime.now(UTC).isoformat(), "conf": dict(params)}
        while True:
            status, document = self._call("POST", f"/dags/{quote(dag_id)}/dagRuns", body)
            if status == 200:
                return self._run(dag_id, document)
            if status != 404 or time.monotonic() > deadline:
                raise AirflowError(f"Airflow did not start {dag_id}: {status} {self._broken_dags() or document}")
            time.sleep(POLL_S)

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
        raise AirflowError(f"the run {run.run_id} did not end within {RUN_DEADLINE_S:.0f} s: {run.page}")

    def log(self, dag_id: str, run: DagRun, task: TaskRun) -> list[str]:
        """The last lines that a task wrote."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run.run_id)}/taskInstances/{quote(task.task)}/logs/{task.tries}"
        content = self._get(path)["content"]
        lines = [f"{entry['event']} {_reasons(entry)}".rstrip() for entry in content if isinstance(entry, dict)]
        return lines[-_LOG_LINES:]

    def set_state(self, dag_id: str, run: DagRun, task: str, state: Literal["failed", "success"]) -> None:
        """Mark a task as a person does in the page; one that runs is ended. Blocks for a minute at most.

        Airflow 3.2.1 waits for SQLite's lock in its event loop, which another request needs before it can give the lock
        back: after five seconds it answers 500, with nothing done. So that is asked again.
        """
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run.run_id)}/taskInstances/{quote(task)}"

        def mark() -> None:
            status, document = self._call("PATCH", path, {"new_state": state})
            if status != 200:
                error = AirflowBusyError if status == 500 else AirflowError
                raise error(f"Airflow did not mark {task} as {state}: {status} {document}")

        retry(mark, MARK_POLICY, AirflowBusyError)

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
        status, document = self._call("GET", path)
        if status != 200:
            raise AirflowError(f"GET {path}: {status} {document}")
        return document

    def _call(self, method: Literal["GET", "POST", "PATCH"], path: str, body: object = None) -> tuple[int, Any]:
        """One request; goes on for two minutes while Airflow is away, since the runner restarts it."""
        deadline = time.monotonic() + OUTAGE_S
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        while True:
            try:
                data = None if body is None else json.dumps(body).encode()
                answer = self._http.request(method, f"{self._url}/api/v2{path}", body=data, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                if time.monotonic() > deadline:
                    raise AirflowError(f"Airflow at {self._url} does not answer: {error}") from error
                time.sleep(POLL_S)
                continue
            text = answer.data.decode(errors="replace")
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(text) if is_json else text[:500]


def _reasons(entry: Mapping[str, Any]) -> str:
    return "; ".join(f"{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or ())
