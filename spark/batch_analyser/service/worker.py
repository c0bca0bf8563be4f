"""Runs jobs one after the other on one thread, because they share one session and one writer's lock."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from service_kit.ops import NotReadyError

from batch_analyser.service.deadline import CANCEL_AGAIN_S, Deadline
from batch_analyser.service.failures import is_of_a_connection, told
from batch_analyser.service.runs import Ended, QueueFullError, Run, RunType
from batch_analyser.service.store import RunStore

logger = logging.getLogger(__name__)

Task = Callable[[Mapping[str, str]], str]
"""Does one task by the job's parameters and returns its output as JSON. Raises whatever went wrong."""

STOPPED: Final = "the analyser was stopped before this run was over; what it committed stays, run it again"
CRASHED: Final = "the analyser ended before this run was over; what it committed stays, run it again"
JVM_GONE: Final = "the JVM ended before this run was over; what it committed stays, run it again"
UNRECORDED: Final = "runs.sqlite could not be written in this run; what it committed stays, run it again"

_IDLE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_DYING_S = 3.0
"""How long after a lost connection to the JVM its end may take to show."""

_TASK_SECONDS = Histogram(
    "analyser_task_seconds", "Duration of one task", ["task"], buckets=(0.5, 1, 2, 5, 10, 20, 60, 180, 600)
)
_RUNS = Counter("analyser_runs_total", "Runs of jobs that ended", ["result"])
_WAITING = Gauge("analyser_runs_waiting", "Runs of jobs in the queue")


class Worker:
    """The queue, which is the store's, and its thread.

    ``tasks`` says what each task does; ``cancel`` ends the Spark jobs that go on now, and may be called at any time;
    ``alive`` says whether there is a session to work in.
    """

    def __init__(
        self,
        store: RunStore,
        tasks: Mapping[str, Task],
        limit: int,
        cancel: Callable[[], None] = lambda: None,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._limit = limit
        self._cancel = cancel
        self._alive = alive
        self._ending: dict[int, Ended] = {}
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._active: int | None = None
        self._trouble: str | None = None

    @property
    def active(self) -> int | None:
        """The run of a job that is going on."""
        return self._active

    def check(self) -> str:
        """Whether runs go on; for the readiness."""
        if self._trouble is not None:
            raise NotReadyError(f"runs.sqlite cannot be read or written: {self._trouble}")
        if not self._thread.is_alive():
            raise NotReadyError("the thread of the queue is not running")
        return "runs go on"

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
        *,
        depends_on: Mapping[str, Sequence[str]] | None = None,
        timeout_s: int = 0,
        task_timeouts_s: Mapping[str, int] | None = None,
    ) -> Run:
        """Queue a run of the given tasks, in an order in which each follows those that it depends on.

        Each task has its own parameters, and may have a timeout; a known token gives its run back.

        Raises:
            QueueFullError: too many runs wait, or the service is about to end.
        """
        self._check_open()
        run, _ = self._store.add(
            name, tasks, parameters, token, run_type,
            depends_on=depends_on or {}, timeout_s=timeout_s, task_timeouts_s=task_timeouts_s or {},
            most_queued=self._limit,
        )  # fmt: skip
        self._wake()
        return run

    def repair(self, run_id: int, tasks: Iterable[str], parameters: Mapping[str, str]) -> int:
        """Queue a run that is over once more, for some of its tasks; returns the repair's number.

        Raises:
            QueueFullError: as ``submit``.
        """
        self._check_open()
        repair = self._store.repair(run_id, tasks, parameters, self._limit)
        self._wake()
        return repair

    def cancel(self, run_id: int) -> None:
        """End a run as CANCELED: at once where it waits, else as soon as its Spark jobs have ended.

        Returns at once. A run that is over, or a known run's second time, changes nothing. What the run committed
        stays.
        """
        self._end_early(run_id, "CANCELED")
        _WAITING.set(self._store.queued())

    def stop(self, wait_s: float) -> bool:
        """End: the current run may finish in half of ``wait_s``, then it is cancelled; says whether it ended.

        A run that did not finish is INTERNAL_ERROR afterwards; those that wait are taken up at the next start.
        """
        self._stopping.set()
        self._more.set()
        deadline = time.monotonic() + wait_s
        self._thread.join(wait_s / 2)
        if self._thread.is_alive():
            logger.warning("run cancelled: the service stops", extra={"run_id": self._active})
            self._cancel()
            self._thread.join(max(0.0, deadline - time.monotonic()))
        self._store.end_unfinished(STOPPED if self._alive() else JVM_GONE)
        return not self._thread.is_alive()

    def _check_open(self) -> None:
        if self._stopping.is_set():
            raise QueueFullError("the analyser is about to end; try again later")

    def _wake(self) -> None:
        _WAITING.set(self._store.queued())
        self._more.set()

    def _end_early(self, run_id: int, result: Ended) -> None:
        with self._lock:
            if run_id in self._ending:
                return
            if self._active != run_id:
                if result == "CANCELED":  # a run whose time is up while it ends has ended
                    self._store.end_early(run_id, result)
                return
            self._ending[run_id] = result
            logger.info("run is being ended", extra={"run_id": run_id, "as": result})
            threading.Thread(target=self._cancel_until_over, args=(run_id,), name="cancel", daemon=True).start()
            self._store.terminate(run_id)

    def _cancel_until_over(self, run_id: int) -> None:
        """Again and again, since between two Spark jobs there is nothing to cancel."""
        while True:
            with self._lock:
                if self._active != run_id:
                    return
                self._cancel()
            self._stopping.wait(CANCEL_AGAIN_S)

    def _work(self) -> None:
        try:
            self._first()
        except Exception:  # the first job will meet the same trouble and show it to who asked for it
            logger.exception("warm-up failed")
        pause = _IDLE_S
        while not self._stopping.is_set():
            try:
                self._go_on()
                self._trouble, pause = None, _IDLE_S
            except sqlite3.Error as error:  # a full disk, say: what is queued stays, and is retried
                self._trouble = str(error)
                logger.exception("runs.sqlite cannot be read or written")
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _go_on(self) -> None:
        """Do the run that waited longest, or wait for one."""
        if self._active is not None:  # its end could not be written
            self._store.end_unfinished(UNRECORDED, self._active)
            self._ended(self._active)
        self._more.clear()
        run_id = self._store.next_queued()
        _WAITING.set(self._store.queued())
        if run_id is None:
            self._more.wait(_IDLE_S)
        elif self._begin(run_id):
            run = self._store.get(run_id)
            timer = threading.Timer(0 if run is None else run.timeout_s, self._end_early, (run_id, "TIMEDOUT"))
            timer.daemon = True
            if run is not None and run.timeout_s:
                timer.start()
            try:
                if run is not None:
                    self._run(run)
                self._ended(run_id)
            finally:
                timer.cancel()

    def _begin(self, run_id: int) -> bool:
        """Make it the active run, unless it was cancelled while it waited."""
        with self._lock:
            run = self._store.get(run_id)
            if run is None or run.life_cycle != "QUEUED":
                return False
            self._store.start(run_id)
            self._active = run_id
            return True

    def _ended(self, run_id: int) -> None:
        with self._lock:
            if (result := self._ending.get(run_id)) is not None:
                self._store.end_early(run_id, result)
                _RUNS.labels({"CANCELED": "cancelled", "TIMEDOUT": "timed_out"}[result]).inc()
            self._ending.pop(run_id, None)
            self._active = None

    def _run(self, run: Run) -> None:
        """Each task whose dependencies are well; those of a task that failed are not tried."""
        failed: list[str] = []
        for task in self._store.tasks(run.run_id):
            if self._ends(run.run_id):
                return
            if task.over:  # a repair leaves it as it is
                failed += [task.name] if task.result != "SUCCESS" else []
            elif lacking := [name for name in task.depends_on if name in failed]:
                self._store.end(task.run_id, "TERMINATED", "UPSTREAM_FAILED", f"the task {lacking[0]} failed")
                failed.append(task.name)
            elif not self._run_task(task, run.parameters):
                if not self._alive():
                    self._store.end_unfinished(JVM_GONE, run.run_id)
                    return
                failed.append(task.name)
        if failed and self._ends(run.run_id):
            return
        if failed:
            said = f"the task {failed[0]} failed; its output has the error"
            self._store.end(run.run_id, "TERMINATED", "FAILED", said)
        else:
            self._store.end(run.run_id, "TERMINATED", "SUCCESS")
        _RUNS.labels("failed" if failed else "success").inc()

    def _ends(self, run_id: int) -> bool:
        """Whether the run is to end before it is done; what ends it also says how."""
        return self._stopping.is_set() or run_id in self._ending

    def _run_task(self, task: Run, parameters: Mapping[str, str]) -> bool:
        self._store.start(task.run_id)
        context = {"task": task.name, "run_id": task.parent_id}
        logger.info("task started", extra=context)
        deadline = Deadline(task.timeout_s, self._cancel)
        try:
            with deadline, _TASK_SECONDS.labels(task.name).time():
                own = dict(task.parameters)
                output = self._tasks[own.pop("task", task.name)]({**parameters, **own})
        except Exception as error:  # the outermost loop: a run that fails must not end the service
            if not self._ends(task.parent_id or 0):
                logger.exception("task failed", extra=context)
                if deadline.passed and self._alive():
                    self._store.end_early(task.run_id, "TIMEDOUT")
                elif not self._is_jvm_lost(error):
                    text = told(error)
                    self._store.end(task.run_id, "TERMINATED", "FAILED", text[:500], error=text)
            return False
        self._store.end(task.run_id, "TERMINATED", "SUCCESS", output=output)
        logger.info("task finished", extra=context)
        return True

    def _is_jvm_lost(self, error: Exception) -> bool:
        """Whether the session is gone; a broken connection shows that a moment before its process has ended."""
        deadline = time.monotonic() + (_DYING_S if is_of_a_connection(error) else 0.0)
        while self._alive() and time.monotonic() < deadline:
            self._stopping.wait(0.05)
        return not self._alive()
