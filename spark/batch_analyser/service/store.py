"""Runs and their tasks in one SQLite file, so that they outlive the service."""

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from service_kit.clock import Clock

LifeCycle = Literal["QUEUED", "RUNNING", "TERMINATING", "TERMINATED", "INTERNAL_ERROR"]
Result = Literal["SUCCESS", "FAILED", "UPSTREAM_FAILED", "CANCELED"]
RunType = Literal["JOB_RUN", "SUBMIT_RUN"]
TERMINAL: Final = frozenset({"TERMINATED", "INTERNAL_ERROR"})
CANCELLED: Final = "Run cancelled."
_GOING = "life_cycle NOT IN ('TERMINATED', 'INTERNAL_ERROR')"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
  run_id INTEGER PRIMARY KEY AUTOINCREMENT,
  parent_id INTEGER REFERENCES run (run_id),
  name TEXT NOT NULL,
  parameters TEXT NOT NULL DEFAULT '{}',
  idempotency_token TEXT UNIQUE,
  life_cycle TEXT NOT NULL DEFAULT 'QUEUED',
  result TEXT,
  message TEXT NOT NULL DEFAULT '',
  created_ms INTEGER NOT NULL,
  started_ms INTEGER,
  ended_ms INTEGER,
  output TEXT,
  error TEXT,
  run_type TEXT NOT NULL DEFAULT 'JOB_RUN'
);
CREATE INDEX IF NOT EXISTS run_parent ON run (parent_id);
"""


@dataclass(frozen=True)
class Run:
    """A run (``parent_id`` None, ``name`` the job's or the one given) or of one of its tasks.

    Times are Unix milliseconds. A task's parameters are its own only; ``task`` among them says what it does, where
    its key does not.
    """

    run_id: int
    parent_id: int | None
    name: str
    parameters: Mapping[str, str]
    life_cycle: LifeCycle
    result: Result | None
    message: str
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    output: str | None
    error: str | None
    run_type: RunType

    @property
    def over(self) -> bool:
        """Whether it will not change again."""
        return self.life_cycle in TERMINAL


class RunStore:
    """All runs. Safe to use from any thread; every method commits before it returns."""

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        if "run_type" not in {row["name"] for row in self._db.execute("PRAGMA table_info(run)")}:
            self._db.execute("ALTER TABLE run ADD COLUMN run_type TEXT NOT NULL DEFAULT 'JOB_RUN'")

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
    ) -> tuple[Run, bool]:
        """A queued run with its tasks and their own parameters. With a token that is known: that run, and False."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                known = self._by_token(idempotency_token)
                if known is None:
                    run_id = self._insert(None, name, parameters, idempotency_token, run_type)
                    for task, own in tasks.items():
                        self._insert(run_id, task, own, None, run_type)
                else:
                    run_id = known
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            return self._one(run_id), known is None

    def forget(self, run_id: int) -> None:
        """Take back a run that could not be queued."""
        with self._lock:
            self._db.execute("DELETE FROM run WHERE parent_id = ? OR run_id = ?", (run_id, run_id))

    def get(self, run_id: int) -> Run | None:
        """One run, of a job or a task."""
        with self._lock:
            row = self._db.execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone()
        return None if row is None else _run(row)

    def tasks(self, run_id: int) -> list[Run]:
        """The tasks of a job's run, in their order."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM run WHERE parent_id = ? ORDER BY run_id", (run_id,)).fetchall()
        return [_run(row) for row in rows]

    def newest(
        self, names: Sequence[str] = (), *, active: bool | None = None, below: int | None = None, limit: int = 20
    ) -> list[Run]:
        """Runs (not of tasks), newest first: of some jobs, going on or over, with ids below one."""
        where = ["parent_id IS NULL"]
        values: list[str | int] = []
        if names:
            where.append(f"name IN ({', '.join('?' * len(names))}) AND run_type = 'JOB_RUN'")
            values += names
        if active is not None:
            where.append(_GOING if active else f"NOT ({_GOING})")
        if below is not None:
            where.append("run_id < ?")
            values.append(below)
        query = f"SELECT * FROM run WHERE {' AND '.join(where)} ORDER BY run_id DESC LIMIT ?"  # noqa: S608 (own words)
        with self._lock:
            rows = self._db.execute(query, [*values, limit]).fetchall()
        return [_run(row) for row in rows]

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

    def end_cancelled(self, run_id: int) -> None:
        """End what is not over of a run and its tasks, as cancelled."""
        with self._lock:
            now = self._now()
            self._db.execute(
                "UPDATE run SET life_cycle = 'TERMINATED', result = 'CANCELED', message = ?, ended_ms = ?,"  # noqa: S608
                f" started_ms = coalesce(started_ms, ?) WHERE (run_id = ? OR parent_id = ?) AND {_GOING}",
                (CANCELLED, now, now, run_id, run_id),
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

    def end_unfinished(self, reason: str) -> int:
        """End every run and task that is not over as INTERNAL_ERROR; returns how many runs of jobs those were."""
        with self._lock:
            now = self._now()
            runs = self._db.execute(f"SELECT count(*) FROM run WHERE parent_id IS NULL AND {_GOING}").fetchone()[0]  # noqa: S608
            self._db.execute(
                "UPDATE run SET life_cycle = 'INTERNAL_ERROR', result = 'FAILED', message = ?, error = ?, ended_ms = ?,"  # noqa: S608
                f" started_ms = coalesce(started_ms, ?) WHERE {_GOING}",
                (reason, reason, now, now),
            )
        return int(runs)

    def _insert(
        self, parent: int | None, name: str, parameters: Mapping[str, str], token: str | None, run_type: RunType
    ) -> int:
        cursor = self._db.execute(
            "INSERT INTO run (parent_id, name, parameters, idempotency_token, created_ms, run_type)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (parent, name, json.dumps(dict(parameters)), token, self._now(), run_type),
        )
        return int(cursor.lastrowid or 0)

    def _by_token(self, token: str | None) -> int | None:
        if token is None:
            return None
        row = self._db.execute("SELECT run_id FROM run WHERE idempotency_token = ?", (token,)).fetchone()
        return None if row is None else int(row["run_id"])

    def _one(self, run_id: int) -> Run:
        return _run(self._db.execute("SELECT * FROM run WHERE run_id = ?", (run_id,)).fetchone())

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _run(row: sqlite3.Row) -> Run:
    fields = {name: row[name] for name in Run.__dataclass_fields__ if name != "parameters"}
    return Run(**fields, parameters=json.loads(row["parameters"]))
