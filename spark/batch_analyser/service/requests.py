"""What each request of the Jobs API does. https://docs.databricks.com/api/workspace/jobs"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from pipeline_contracts.names import Names

from batch_analyser.jobs.catalogue import JOBS
from batch_analyser.service import views
from batch_analyser.service.arguments import (
    ApiError,
    idempotency_token,
    integer,
    invalid,
    items,
    shown,
    switch,
    text,
    texts,
)
from batch_analyser.service.pages import Cursor, page_of
from batch_analyser.service.plan import chain, checked, submitted, timeout_s
from batch_analyser.service.runs import QueueFullError, Run
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker

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
        name = text(given, "name")
        numbers = [number for number, (job, _) in self._jobs.items() if name is None or name.lower() == job.lower()]

        def select(cursor: Cursor, limit: int) -> list[int]:
            if cursor.before is not None:
                return [number for number in numbers if number < cursor.before][-limit:]
            return [number for number in numbers if number > (cursor.behind or 0)][:limit]

        page = page_of(given, select, int, usual=20, most=100)
        with_tasks, with_user = (
            switch(given, "expand_tasks"),
            switch({"include_user_names": True, **given}, "include_user_names"),
        )
        jobs = [
            views.job(number, *self._jobs[number], with_tasks=with_tasks, with_user=with_user)
            for number in page.entries
        ]
        return {"jobs": jobs, **page.more}

    def get_job(self, given: Given) -> Document:
        """One job."""
        number = integer(given, "job_id")
        return views.job(number, *self._job(number))

    def run_now(self, given: Given) -> Document:
        """Queue a run of a job, or of some of its tasks (``only``)."""
        name, tasks = self._job(integer(given, "job_id"))
        only = items(given, "only")
        if "only" in given and not only:
            raise invalid(f"'only' names no task; leave it out to run all of {', '.join(tasks)}.")
        if unknown := [task for task in only if task not in tasks]:
            raise invalid(f"There is no task {shown(unknown[0])}; there are {', '.join(tasks)}.")
        chosen = [task for task in tasks if not only or task in only]
        parameters, needs = checked(texts(given, "job_parameters")), chain(chosen)
        no_own: dict[str, dict[str, str]] = {task: {} for task in chosen}
        return self._queue(
            lambda token: self._worker.submit(name, no_own, parameters, token, "JOB_RUN", depends_on=needs), given
        )

    def submit(self, given: Given) -> Document:
        """Queue a run of no job: tasks of our own wheel, as a job of ``databricks.yml`` has them."""
        plan = submitted(items(given, "tasks"))
        limit_s = timeout_s(given)
        name = text(given, "run_name") or "Untitled"

        def start(token: str | None) -> Run:
            needs, limits = plan.depends_on, plan.timeouts_s
            return self._worker.submit(
                name,
                plan.parameters,
                {},
                token,
                "SUBMIT_RUN",
                depends_on=needs,
                timeout_s=limit_s,
                task_timeouts_s=limits,
            )

        return self._queue(start, given)

    def repair(self, given: Given) -> Document:
        """Queue a run that is over again, for tasks that failed or are named, and what depends on them."""
        run = self._run(given)
        if run.parent_id is not None:
            raise invalid(f"Run {run.run_id} is the run of a task; repair run {run.parent_id}.")
        if not run.over:
            raise invalid(f"Run {run.run_id} has not ended yet; only a run that has ended can be repaired.")
        last = max((repair.repair_id for repair in self._store.repairs(run.run_id)), default=None)
        told = integer(given, "latest_repair_id") if "latest_repair_id" in given else None
        if told != last:
            said = "left out: there is no repair yet" if last is None else str(last)
            raise invalid(f"'latest_repair_id' must be {said}.")
        tasks = self._store.tasks(run.run_id)
        keys = [task.name for task in tasks]
        named = items(given, "rerun_tasks")
        if unknown := [key for key in named if key not in keys]:
            raise invalid(f"'rerun_tasks': there is no task {shown(unknown[0])}; there are {', '.join(keys)}.")
        again = set(named)
        for task in tasks:
            failed = switch(given, "rerun_all_failed_tasks") and task.result != "SUCCESS"
            follows = switch(given, "rerun_dependent_tasks") and again & set(task.depends_on)
            again |= {task.name} if failed or follows else set()
        if not again:
            raise invalid(
                "There is nothing to repair: give 'rerun_tasks', or 'rerun_all_failed_tasks' where some failed."
            )
        parameters = checked(texts(given, "job_parameters"))
        try:
            return {"repair_id": self._worker.repair(run.run_id, again, parameters)}
        except QueueFullError as error:
            raise _full(error) from error

    def get_run(self, given: Given) -> Document:
        """A run with its tasks; a task's run by its own id."""
        run = self._run(given)
        top = run.run_id if run.parent_id is None else run.parent_id
        view = views.run(run, self._job_id(run), self._store.tasks(top), self._base_url)
        if switch(given, "include_history"):
            repairs = self._store.repairs(top)
            began = [self._store.tasks(top, attempt) for attempt in range(len(repairs) + 1)]
            view["repair_history"] = views.repair_history(self._store.get(top) or run, repairs, began)
        return view

    def list_runs(self, given: Given) -> Document:
        """Runs, newest first."""
        active, completed = switch(given, "active_only"), switch(given, "completed_only")
        if active and completed:
            raise invalid("'active_only' and 'completed_only' exclude each other.")
        run_type = text(given, "run_type")
        if run_type not in (None, "JOB_RUN", "SUBMIT_RUN", "WORKFLOW_RUN"):
            raise invalid(f"'run_type' must be JOB_RUN, SUBMIT_RUN or WORKFLOW_RUN, not {shown(run_type)}.")
        names = [self._job(integer(given, "job_id"))[0]] if "job_id" in given else []
        started = (
            integer(given, "start_time_from") if "start_time_from" in given else None,
            integer(given, "start_time_to") if "start_time_to" in given else None,
        )

        def select(cursor: Cursor, limit: int) -> list[Run]:
            return self._store.newest(
                names,
                active=True if active else False if completed else None,
                below=cursor.behind,
                above=cursor.before,
                run_type=run_type,
                started=started,
                limit=limit,
            )

        page = page_of(given, select, lambda run: run.run_id, usual=20, most=25)
        with_tasks = switch(given, "expand_tasks")
        runs = [
            views.run(run, self._job_id(run), self._store.tasks(run.run_id) if with_tasks else (), self._base_url)
            for run in page.entries
        ]
        return {"runs": runs, **page.more}

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

    def _queue(self, start: Callable[[str | None], Run], given: Given) -> Document:
        try:
            run = start(idempotency_token(given))
        except QueueFullError as error:
            raise _full(error) from error
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


def _full(error: QueueFullError) -> ApiError:
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, "REQUEST_LIMIT_EXCEEDED", str(error))
