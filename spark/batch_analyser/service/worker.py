"""Runs jobs one after the other on one thread, because they share one session and one writer's lock."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from batch_analyser.service.store import Run, RunStore

logger = logging.getLogger(__name__)

Task = Callable[[Mapping[str, str]], str]
"""Does one task by the job's parameters and returns its output as JSON. Raises whatever went wrong."""

STOPPED: Final = "the analyser was stopped before this run was over; what it committed stays, run it again"
CRASHED: Final = "the analyser ended before this run was over; what it committed stays, run it again"

_TASK_SECONDS = Histogram(
    "analyser_task_seconds", "Duration of one task", ["task"], buckets=(0.5, 1, 2, 5, 10, 20, 60, 180, 600)
)
_RUNS = Counter("analyser_runs_total", "Runs of jobs that ended", ["result"])
_WAITING = Gauge("analyser_runs_waiting", "Runs of jobs in the queue")


class QueueFullError(Exception):
    """No room for another run now."""


class Worker:
    """The queue and its thread."""

    def __init__(self, store: RunStore, tasks: Mapping[str, Task], limit: int) -> None:
        self._store = store
        self._tasks = tasks
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

    def submit(self, job: str, only: Sequence[str], parameters: Mapping[str, str], token: str | None) -> Run:
        """Queue a run of the given tasks; a known token gives its run back.

        Raises:
            QueueFullError: too many runs wait, or the service is about to end.
        """
        names = [name for name in self._tasks if not only or name in only]
        run, is_new = self._store.add(job, names, parameters, token)
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

    def stop(self, cancel: Callable[[], None], wait_s: float) -> bool:
        """End: the current run may finish in half of ``wait_s``, then ``cancel`` is called; says whether it ended.

        Runs that did not finish are INTERNAL_ERROR afterwards.
        """
        self._stopping.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)  # wakes the thread where it waits
        deadline = time.monotonic() + wait_s
        self._thread.join(wait_s / 2)
        if self._thread.is_alive():
            logger.warning("run cancelled: the service stops", extra={"run_id": self._active})
            cancel()
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
            if run_id is not None:
                self._active = run_id
                self._run(run_id)
                self._active = None

    def _run(self, run_id: int) -> None:
        run = self._store.get(run_id)
        if run is None:
            return
        self._store.start(run_id)
        failed: str | None = None
        for task in self._store.tasks(run_id):
            if self._stopping.is_set():
                return
            if failed is not None:
                self._store.end(task.run_id, "TERMINATED", "UPSTREAM_FAILED", f"the task {failed} failed")
            elif not self._run_task(task, run.parameters):
                failed = task.name
        if self._stopping.is_set() and failed is not None:
            return
        if failed is None:
            self._store.end(run_id, "TERMINATED", "SUCCESS")
        else:
            self._store.end(run_id, "TERMINATED", "FAILED", f"the task {failed} failed; its output has the error")
        _RUNS.labels("failed" if failed else "success").inc()

    def _run_task(self, task: Run, parameters: Mapping[str, str]) -> bool:
        self._store.start(task.run_id)
        context = {"task": task.name, "run_id": task.parent_id}
        logger.info("task started", extra=context)
        try:
            with _TASK_SECONDS.labels(task.name).time():
                output = self._tasks[task.name](parameters)
        except Exception as error:  # the outermost loop: a run that fails must not end the service
            if not self._stopping.is_set():
                logger.exception("task failed", extra=context)
                text = f"{type(error).__name__}: {error}"
                self._store.end(task.run_id, "TERMINATED", "FAILED", text[:500], error=text[:20_000])
            return False
        self._store.end(task.run_id, "TERMINATED", "SUCCESS", output=output)
        logger.info("task finished", extra=context)
        return True
