"""Runs and their tasks in one SQLite file, so that they outlive the service."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from service_kit.clock import Clock

from batch_analyser.service.database import opened
from batch_analyser.service.runs import MESSAGES, Ended, QueueFullError, Repair, Result, Run, RunType, run_of

KEPT: Final = timedelta(days=60)
"""How long a run is listed, as in the reference."""
_QUEUED: Final = "SELECT count(*) FROM run WHERE parent_id IS NULL AND life_cycle = 'QUEUED'"
_GOING = "life_cycle NOT IN ('TERMINATED', 'INTERNAL_ERROR')"
_BEGUN = (
    f"{_GOING} AND coalesce(parent_id, run_id) NOT IN"  # noqa: S608 (own words)
    " (SELECT run_id FROM run WHERE parent_id IS NULL AND life_cycle = 'QUEUED')"
)
"""Of runs of jobs and of their tasks: what waits with all of its tasks is not among them."""


class RunStore:
    """All runs of the last 60 days. Safe to use from any thread; every method commits before it returns."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._db = opened(path, clock.now())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def add(
        self,
        name: str,
        tasks: Mapping[str, Mapping[str, str]],
        parameters: Mapping[str, str],
        idempotency_token: str | None = None,
        run_type: RunType = "JOB_RUN",
        *,
        depends_on: Mapping[str, Sequence[str]] = MappingProxyType({}),
        timeout_s: int = 0,
        task_timeouts_s: Mapping[str, int] = MappingProxyType({}),
        most_queued: int | None = None,
    ) -> tuple[Run, bool]:
        """A queued run with its tasks and their own parameters. With a token that is known: that run, and False.

        Raises:
            QueueFullError: ``most_queued`` runs wait already; nothing was added.
        """
        with self._transaction():
            self._forget_old()
            known = self._by_token(idempotency_token)
            if known is not None:
                return self._one(known), False
            self._check_room(most_queued)
            run_id = self._insert(None, name, parameters, run_type, token=idempotency_token, timeout_s=timeout_s)
            for task, own in tasks.items():
                needs, limit_s = depends_on.get(task, ()), task_timeouts_s.get(task, 0)
                self._insert(run_id, task, own, run_type, depends_on=needs, timeout_s=limit_s)
            return self._one(run_id), True

    def repair(
        self, run_id: int, tasks: Iterable[str], parameters: Mapping[str, str], most_queued: int | None = None
    ) -> int:
        """Queue a run that is over once more, for the named tasks alone; returns the repair's number.

        Raises:
            QueueFullError: ``most_queued`` runs wait already; nothing was changed.
        """
        with self._transaction():
            self._check_room(most_queued)
            run, now = self._one(run_id), self._now()
            attempt = run.attempt + 1
            repair = self._db.execute(
                "INSERT INTO repair (run_id, attempt, before_life_cycle, before_result, before_message,"
                " before_started_ms, before_ended_ms, started_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (run_id, attempt, run.life_cycle, run.result, run.message, run.started_ms, run.ended_ms, now),
            )
            for task in [task for task in self.tasks(run_id) if task.name in set(tasks)]:
                self._insert(
                    run_id, task.name, task.parameters, run.run_type,
                    depends_on=task.depends_on, timeout_s=task.timeout_s, attempt=attempt,
                )  # fmt: skip
            self._db.execute(
                "UPDATE run SET life_cycle = 'QUEUED', result = NULL, message = '', error = NULL, started_ms = NULL,"
                " ended_ms = NULL, attempt = ?, parameters = ? WHERE run_id = ?",
                (attempt, json.dumps({**run.parameters, **parameters}), run_id),
            )
            return int(repair.lastrowid or 0)

    def repairs(self, run_id: int) -> list[Repair]:
        """The repairs of a run, oldest first."""
        with self._lock:
            run = self._one(run_id)
            rows = self._db.execute("SELECT * FROM repair WHERE run_id = ? ORDER BY repair_id", (run_id,)).fetchall()
        return [
            Repair(
                row["repair_id"],
                row["attempt"],
                replace(
                    run,
                    life_cycle=row["before_life_cycle"],
                    result=row["before_result"],
                    message=row["before_message"],
                    started_ms=row["before_started_ms"],
                    ended_ms=row["before_ended_ms"],
                ),
                row["started_ms"],
            )
            for row in rows
        ]

    def next_queued(self) -> int | None:
        """The run that has waited longest."""
        with self._lock:
            row = self._db.execute(
                "SELECT run_id FROM run WHERE parent_id IS NULL AND life_cycle = 'QUEUED' ORDER BY run_id LIMIT 1"
            ).fetchone()
        return None if row is None else int(row["run_id"])

    def queued(self) -> int:
        """How many runs wait."""
        with self._lock:
            return int(self._db.execute(_QUEUED).fetchone()[0])

    def get(self, run_id: int) -> Run | None:
        """One run, of a job or a task."""
        with self._lock:
            row = self._db.execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone()
        return None if row is None else run_of(row)

    def tasks(self, run_id: int, attempt: int | None = None) -> list[Run]:
        """The tasks of a job's run in their order, each as it was tried last; or those that one attempt began."""
        query = (
            "SELECT *, min(run_id) OVER (PARTITION BY name) AS place, max(run_id) OVER (PARTITION BY name) AS newest"
            " FROM run WHERE parent_id = ?"
        )
        which = "run_id = newest" if attempt is None else "attempt = ?"
        values = (run_id,) if attempt is None else (run_id, attempt)
        with self._lock:
            rows = self._db.execute(f"SELECT * FROM ({query}) WHERE {which} ORDER BY place", values).fetchall()  # noqa: S608
        return [run_of(row) for row in rows]

    def newest(
        self,
        names: Sequence[str] = (),
        *,
        active: bool | None = None,
        below: int | None = None,
        above: int | None = None,
        run_type: str | None = None,
        started: tuple[int | None, int | None] = (None, None),
        limit: int = 20,
    ) -> list[Run]:
        """Runs (not of tasks), newest first: of some jobs, going on or over, below one id, or right above one,
        of one type, or that started (waiting ones: came) between two moments in Unix milliseconds, both included."""
        where = ["parent_id IS NULL"]
        values: list[str | int] = []
        if names:
            where.append(f"name IN ({', '.join('?' * len(names))}) AND run_type = 'JOB_RUN'")
            values += names
        if active is not None:
            where.append(_GOING if active else f"NOT ({_GOING})")
        moment = "coalesce(started_ms, created_ms)"
        for condition, value in (
            ("run_id < ?", below),
            ("run_id > ?", above),
            ("run_type = ?", run_type),
            (f"{moment} >= ?", started[0]),
            (f"{moment} <= ?", started[1]),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        order = "DESC" if above is None else "ASC"
        query = f"SELECT * FROM run WHERE {' AND '.join(where)} ORDER BY run_id {order} LIMIT ?"  # noqa: S608 (own words)
        with self._lock:
            rows = self._db.execute(query, [*values, limit]).fetchall()
        return [run_of(row) for row in (rows if above is None else reversed(rows))]

    def start(self, run_id: int) -> None:
        """It runs now, unless it is to end already."""
        with self._lock:
            self._db.execute(
                "UPDATE run SET life_cycle = iif(life_cycle = 'QUEUED', 'RUNNING', life_cycle), started_ms = ?"  # noqa: S608
                f" WHERE run_id = ? AND {_GOING}",
                (self._now(), run_id),
            )

    def terminate(self, run_id: int) -> None:
        """It is to end, with its tasks."""
        with self._lock:
            self._db.execute(
                f"UPDATE run SET life_cycle = 'TERMINATING' WHERE (run_id = ? OR parent_id = ?) AND {_GOING}",  # noqa: S608
                (run_id, run_id),
            )

    def end_early(self, run_id: int, result: Ended) -> None:
        """End what is not over of a run and its tasks, as cancelled or out of time."""
        with self._lock:
            now = self._now()
            self._db.execute(
                "UPDATE run SET life_cycle = 'TERMINATED', result = ?, message = ?, ended_ms = ?,"  # noqa: S608
                f" started_ms = coalesce(started_ms, ?) WHERE (run_id = ? OR parent_id = ?) AND {_GOING}",
                (result, MESSAGES[result], now, now, run_id, run_id),
            )

    def end(
        self,
        run_id: int,
        life_cycle: Literal["TERMINATED", "INTERNAL_ERROR"],
        result: Result,
        message: str = "",
        *,
        output: str | None = None,
        error: str | None = None,
    ) -> None:
        """It is over."""
        with self._lock:
            self._db.execute(
                "UPDATE run SET life_cycle = ?, result = ?, message = ?, output = ?, error = ?, ended_ms = ?,"
                " started_ms = coalesce(started_ms, ?) WHERE run_id = ?",
                (life_cycle, result, message, output, error, self._now(), self._now(), run_id),
            )

    def end_unfinished(self, reason: str, run_id: int | None = None) -> int:
        """End what has begun and is not over (of one run, or all) as INTERNAL_ERROR; what waits goes on waiting.

        Returns how many runs of jobs that were.
        """
        only = "" if run_id is None else " AND ? IN (run_id, parent_id)"
        values = () if run_id is None else (run_id,)
        with self._lock:
            now = self._now()
            count = f"SELECT count(*) FROM run WHERE parent_id IS NULL AND {_BEGUN}{only}"  # noqa: S608
            runs = self._db.execute(count, values).fetchone()[0]
            self._db.execute(
                "UPDATE run SET life_cycle = 'INTERNAL_ERROR', result = 'FAILED', message = ?, error = ?, ended_ms = ?,"  # noqa: S608
                f" started_ms = coalesce(started_ms, ?) WHERE {_BEGUN}{only}",
                (reason, reason, now, now, *values),
            )
        return int(runs)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # a full disk ends it
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _check_room(self, most_queued: int | None) -> None:
        if most_queued is not None and self.queued() >= most_queued:
            raise QueueFullError("too many runs wait already; try again later")

    def _forget_old(self) -> None:
        oldest = self._now() - int(KEPT.total_seconds() * 1000)
        old = f"SELECT run_id FROM run WHERE parent_id IS NULL AND NOT ({_GOING}) AND created_ms < ?"  # noqa: S608
        for table, column in (("repair", "run_id"), ("run", "parent_id"), ("run", "run_id")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} IN ({old})", (oldest,))  # noqa: S608

    def _insert(
        self,
        parent: int | None,
        name: str,
        parameters: Mapping[str, str],
        run_type: RunType,
        *,
        token: str | None = None,
        depends_on: Sequence[str] = (),
        timeout_s: int = 0,
        attempt: int = 0,
    ) -> int:
        cursor = self._db.execute(
            "INSERT INTO run (parent_id, name, parameters, idempotency_token, created_ms, run_type, depends_on,"
            " timeout_s, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (parent, name, json.dumps(dict(parameters)), token, self._now(), run_type, json.dumps(list(depends_on)),
             timeout_s, attempt),
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def _by_token(self, token: str | None) -> int | None:
        if token is None:
            return None
        row = self._db.execute("SELECT run_id FROM run WHERE idempotency_token = ?", (token,)).fetchone()
        return None if row is None else int(row["run_id"])

    def _one(self, run_id: int) -> Run:
        return run_of(self._db.execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone())

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1000)
