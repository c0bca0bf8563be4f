"""What each request of the Jobs API does. https://docs.databricks.com/api/workspace/jobs"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pipeline_contracts.names import Names

from batch_analyser.jobs.catalogue import ALL_TASKS, JOBS, ParameterError, check_parameters
from batch_analyser.service import views
from batch_analyser.service.arguments import (
    ApiError,
    idempotency_token,
    integer,
    invalid,
    items,
    switch,
    texts,
    within,
)
from batch_analyser.service.store import Run, RunStore, RunType
from batch_analyser.service.worker import QueueFullError, Worker

PACKAGE: Final = "pinterest-data-pipeline"
ENTRY_POINT: Final = "batch_analyser_task"
"""The wheel's entry point, as ``spark/databricks.yml`` and submitted runs name it."""

Document = dict[str, Any]
Given = Mapping[str, Any]


class Requests:
    """All of them. ``base_url`` is where people reach this service, for links. Methods raise ``ApiError``."""

    def __init__(self, store: RunStore, worker: Worker, names: Names, base_url: str) -> None:
        self._store = store
        self._worker = worker
        self._jobs = {number: (names.job(key), JOBS[key]) for number, key in enumerate(JOBS, start=1)}
        self._ids = {name: number for number, (name, _) in self._jobs.items()}
        self._base_url = base_url

    def list_jobs(self, given: Given) -> Document:
        """All jobs, or those of one name; case does not matter, as in the reference."""
        within(given, "limit", 20, 100)
        name = given.get("name")
        with_tasks = switch(given, "expand_tasks")
        found = [
            views.job(number, job, tasks, with_tasks=with_tasks)
            for number, (job, tasks) in self._jobs.items()
            if name is None or name.lower() == job.lower()
        ]
        return {"jobs": found, "has_more": False}

    def get_job(self, given: Given) -> Document:
        """One job."""
        number = integer(given, "job_id")
        return views.job(number, *self._job(number))

    def run_now(self, given: Given) -> Document:
        """Queue a run of a job, or of some of its tasks (``only``)."""
        name, tasks = self._job(integer(given, "job_id"))
        only = items(given, "only")
        if unknown := [task for task in only if task not in tasks]:
            raise invalid(f"There is no task {unknown[0]!r}; there are {', '.join(tasks)}.")
        chosen = {task: dict[str, str]() for task in tasks if not only or task in only}
        return self._queue(name, chosen, _checked(texts(given, "job_parameters")), given, "JOB_RUN")

    def submit(self, given: Given) -> Document:
        """Queue a run of no job: tasks of our own wheel, as a job of ``databricks.yml`` has them."""
        tasks = dict(_submitted(task) for task in items(given, "tasks"))
        if not tasks:
            raise invalid("Missing required field: tasks")
        return self._queue(str(given.get("run_name") or "Untitled"), tasks, {}, given, "SUBMIT_RUN")

    def get_run(self, given: Given) -> Document:
        """A run with its tasks; a task's run by its own id."""
        run = self._run(given)
        tasks = self._store.tasks(run.run_id if run.parent_id is None else run.parent_id)
        return views.run(run, self._job_id(run), tasks, self._base_url)

    def list_runs(self, given: Given) -> Document:
        """Runs, newest first; ``page_token`` is the id that the next page stays below."""
        limit = within(given, "limit", 20, 25)
        active, completed = switch(given, "active_only"), switch(given, "completed_only")
        if active and completed:
            raise invalid("'active_only' and 'completed_only' exclude each other.")
        names = [self._job(integer(given, "job_id"))[0]] if given.get("job_id") else []
        below = integer(given, "page_token") if given.get("page_token") else None
        found = self._store.newest(
            names, active=True if active else False if completed else None, below=below, limit=limit + 1
        )
        shown = [
            views.run(
                run,
                self._job_id(run),
                self._store.tasks(run.run_id) if switch(given, "expand_tasks") else (),
                self._base_url,
            )
            for run in found[:limit]
        ]
        more = len(found) > limit
        return {"runs": shown, "has_more": more, **({"next_page_token": str(found[limit - 1].run_id)} if more else {})}

    def get_output(self, given: Given) -> Document:
        """What a task left."""
        run = self._run(given)
        if run.parent_id is None:
            tasks = self._store.tasks(run.run_id)
            if len(tasks) != 1:
                raise invalid("Retrieving the output of runs with multiple tasks is not supported: ask for a task's.")
            run = tasks[0]
        return views.output(run, self._job_id(run), self._base_url)

    def cancel(self, given: Given) -> Document:
        """Begin to end a run; a task's id ends its whole run, because the tasks are one chain."""
        run = self._run(given)
        self._worker.cancel(run.run_id if run.parent_id is None else run.parent_id)
        return {}

    def cancel_all(self, given: Given) -> Document:
        """Begin to end all runs of a job, or all that there are."""
        names = [] if switch(given, "all_queued_runs") else [self._job(integer(given, "job_id"))[0]]
        while runs := [run for run in self._store.newest(names, active=True) if run.life_cycle != "TERMINATING"]:
            for run in runs:
                self._worker.cancel(run.run_id)
        return {}

    def _queue(
        self, name: str, tasks: dict[str, dict[str, str]], parameters: dict[str, str], given: Given, run_type: RunType
    ) -> Document:
        try:
            run = self._worker.submit(name, tasks, parameters, idempotency_token(given), run_type)
        except QueueFullError as error:
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "REQUEST_LIMIT_EXCEEDED", str(error)) from error
        return {"run_id": run.run_id, "number_in_job": run.run_id}

    def _job(self, number: int) -> tuple[str, tuple[str, ...]]:
        if number not in self._jobs:
            raise invalid(f"Job {number} does not exist.")
        return self._jobs[number]

    def _job_id(self, run: Run) -> int:
        """A submitted run is a job of its own."""
        top = run if run.parent_id is None else self._store.get(run.parent_id)
        if top is None or top.run_type == "SUBMIT_RUN":
            return run.parent_id or run.run_id
        return self._ids.get(top.name, 0)

    def _run(self, given: Given) -> Run:
        run_id = integer(given, "run_id")
        run = self._store.get(run_id)
        if run is None:
            raise invalid(f"Run {run_id} does not exist.")
        return run


def _checked(parameters: Mapping[str, str]) -> dict[str, str]:
    try:
        return check_parameters(parameters)
    except ParameterError as error:
        raise invalid(str(error)) from error


def _submitted(task: Any) -> tuple[str, dict[str, str]]:
    """The key and the parameters of one submitted task, ``task`` among them."""
    if not isinstance(task, dict) or not isinstance(task.get("task_key"), str):
        raise invalid("Each task needs a 'task_key'.")
    key = task["task_key"]
    wheel = task.get("python_wheel_task")
    if not isinstance(wheel, dict) or (wheel.get("package_name"), wheel.get("entry_point")) != (PACKAGE, ENTRY_POINT):
        raise invalid(
            f"Task {key!r}: this analyser runs its own wheel alone: a 'python_wheel_task' with package_name "
            f"{PACKAGE!r}, entry_point {ENTRY_POINT!r} and named_parameters."
        )
    parameters = texts(wheel, "named_parameters")
    what = parameters.pop("task", key)
    if what not in ALL_TASKS:
        raise invalid(f"Task {key!r}: there is no task {what!r}; there are {', '.join(ALL_TASKS)}.")
    return key, {**_checked(parameters), "task": what}
