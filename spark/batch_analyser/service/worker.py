"""Runs jobs one after the other on one thread, because they share one session and one writer's lock."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from batch_analyser.service.store import Run, RunStore, RunType

logger = logging.getLogger(__name__)

Task = Callable[[Mapping[str, str]], str]
"""Does one task by the job's parameters and returns its output as JSON. Raises whatever went wrong."""

STOPPED: Final = "the analyser was stopped before this run was over; what it committed stays, run it again"
CRASHED: Final = "the analyser ended before this run was over; what it committed stays, run it again"

_CANCEL_AGAIN_S = 0.2

_TASK_SECONDS = Histogram(
    "analyser_task_seconds", "Duration of one task", ["task"], buckets=(0.5, 1, 2, 5, 10, 20, 60, 180, 600)
)
_RUNS = Counter("analyser_runs_total", "Runs of jobs that ended", ["result"])
_WAITING = Gauge("analyser_runs_waiting", "Runs of jobs in the queue")


class QueueFullError(Exception):
    """No room for another run now."""


class Worker:
    """The queue and its thread.

    ``tasks`` says what each task does; ``cancel`` ends the Spark jobs that go on now, and may be called at any time.
    """

    def __init__(
        self, store: RunStore, tasks: Mapping[str, Task], limit: int, cancel: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._cancel = cancel
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()
        self._queue: queue.Queue[int | None] = queue.Queue(limit)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._active: int | None = None

    @property
    def active(self) -> int | None:
        """The run of a job that is going on."""
        return self._active

    def start(self, first: Callable[[], None]) -> None:
        """Begin to work; ``first`` runs before all jobs, on the same thread."""
        self._first = first
        self._thread.start()

    def submit(
        self,
        name: str,
        tasks: Mapping[str, Mapping[str, str]],
        parameters: Mapping[str, str],
        token: str | None,
        run_type: RunType = "JOB_RUN",
    ) -> Run:
        """Queue a run of the given tasks, each with its own parameters; a known token gives its run back.

        Raises:
            QueueFullError: too many runs wait, or the service is about to end.
        """
        run, is_new = self._store.add(name, tasks, parameters, token, run_type)
        if is_new:
            try:
                if self._stopping.is_set():
                    raise queue.Full
                self._queue.put_nowait(run.run_id)
            except queue.Full:
                self._store.forget(run.run_id)
                msg = "too many runs wait already; try again later"
                raise QueueFullError(msg) from None
            _WAITING.set(self._queue.qsize())
        return run

    def cancel(self, run_id: int) -> None:
        """End a run as CANCELED: at once where it waits, else as soon as its Spark jobs have ended.

        Returns at once. A run that is over, or a known run's second time, changes nothing. What the run committed
        stays.
        """
        with self._lock:
            if run_id in self._cancelled:
                return
            if self._active != run_id:
                self._store.end_cancelled(run_id)  # the thread passes over what is over
                return
            self._cancelled.add(run_id)
            self._store.terminate(run_id)
        logger.info("run is being cancelled", extra={"run_id": run_id})
        threading.Thread(target=self._cancel_until_over, args=(run_id,), name="cancel", daemon=True).start()

    def _cancel_until_over(self, run_id: int) -> None:
        """Again and again, since between two Spark jobs there is nothing to cancel."""
        while True:
            with self._lock:
                if self._active != run_id:
                    return
                self._cancel()
            self._stopping.wait(_CANCEL_AGAIN_S)

    def stop(self, wait_s: float) -> bool:
        """End: the current run may finish in half of ``wait_s``, then it is cancelled; says whether it ended.

        Runs that did not finish are INTERNAL_ERROR afterwards.
        """
        self._stopping.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)  # wakes the thread where it waits
        deadline = time.monotonic() + wait_s
        self._thread.join(wait_s / 2)
        if self._thread.is_alive():
            logger.warning("run cancelled: the service stops", extra={"run_id": self._active})
            self._cancel()
            self._thread.join(max(0.0, deadline - time.monotonic()))
        self._store.end_unfinished(STOPPED)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._first()
        except Exception:  # the first job will meet the same trouble and show it to who asked for it
            logger.exception("warm-up failed")
        while not self._stopping.is_set():
            try:
                run_id = self._queue.get(timeout=1.0)
            except queue.Empty:
                continue
            _WAITING.set(self._queue.qsize())
            if run_id is not None and self._begin(run_id):
                self._run(run_id)
                with self._lock:
                    self._active = None
                    if run_id in self._cancelled:
                        self._cancelled.discard(run_id)
                        self._store.end_cancelled(run_id)
                        _RUNS.labels("cancelled").inc()

    def _begin(self, run_id: int) -> bool:
        """Make it the active run, unless it was cancelled while it waited."""
        with self._lock:
            run = self._store.get(run_id)
            if run is None or run.over:
                return False
            self._active = run_id
            self._store.start(run_id)
            return True

    def _run(self, run_id: int) -> None:
        run = self._store.get(run_id)
        if run is None:
            return
        failed: str | None = None
        for task in self._store.tasks(run_id):
            if self._ends(run_id):
                return
            if failed is not None:
                self._store.end(task.run_id, "TERMINATED", "UPSTREAM_FAILED", f"the task {failed} failed")
            elif not self._run_task(task, run.parameters):
                failed = task.name
        if failed is not None and self._ends(run_id):
            return
        if failed is None:
            self._store.end(run_id, "TERMINATED", "SUCCESS")
        else:
            self._store.end(run_id, "TERMINATED", "FAILED", f"the task {failed} failed; its output has the error")
        _RUNS.labels("failed" if failed else "success").inc()

    def _ends(self, run_id: int) -> bool:
        """Whether the run is to end before it is done; what ends it also says how."""
        return self._stopping.is_set() or run_id in self._cancelled

    def _run_task(self, task: Run, parameters: Mapping[str, str]) -> bool:
        self._store.start(task.run_id)
        context = {"task": task.name, "run_id": task.parent_id}
        logger.info("task started", extra=context)
        try:
            with _TASK_SECONDS.labels(task.name).time():
                own = dict(task.parameters)
                output = self._tasks[own.pop("task", task.name)]({**parameters, **own})
        except Exception as error:  # the outermost loop: a run that fails must not end the service
            if not self._ends(task.parent_id or 0):
                logger.exception("task failed", extra=context)
                text = f"{type(error).__name__}: {error}"
                self._store.end(task.run_id, "TERMINATED", "FAILED", text[:500], error=text[:20_000])
            return False
        self._store.end(task.run_id, "TERMINATED", "SUCCESS", output=output)
        logger.info("task finished", extra=context)
        return True
