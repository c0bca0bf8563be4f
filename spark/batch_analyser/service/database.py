"""The SQLite file of runs: opened, brought up to date, or set aside where it is damaged."""

import logging
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_SCHEMA: Final = """
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
  run_type TEXT NOT NULL DEFAULT 'JOB_RUN',
  depends_on TEXT NOT NULL DEFAULT '[]',
  timeout_s INTEGER NOT NULL DEFAULT 0,
  attempt INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS run_parent ON run (parent_id);
CREATE TABLE IF NOT EXISTS repair (
  repair_id INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id INTEGER NOT NULL REFERENCES run (run_id),
  attempt INTEGER NOT NULL,
  before_life_cycle TEXT NOT NULL,
  before_result TEXT,
  before_message TEXT NOT NULL,
  before_started_ms INTEGER,
  before_ended_ms INTEGER,
  started_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS repair_run ON repair (run_id);
"""
_ADDED: Final = {
    "run_type": "TEXT NOT NULL DEFAULT 'JOB_RUN'",
    "depends_on": "TEXT NOT NULL DEFAULT '[]'",
    "timeout_s": "INTEGER NOT NULL DEFAULT 0",
    "attempt": "INTEGER NOT NULL DEFAULT 0",
}
"""Columns that files of earlier versions lack."""
_ONE_AFTER_THE_OTHER: Final = """
UPDATE run SET depends_on = coalesce(
  (SELECT json_array(name) FROM run AS before WHERE before.parent_id = run.parent_id AND before.run_id < run.run_id
   ORDER BY before.run_id DESC LIMIT 1), '[]') WHERE parent_id IS NOT NULL
"""
"""What earlier versions did with the tasks of a run."""


def opened(path: Path, now: datetime) -> sqlite3.Connection:
    """The file with its tables, made where it is absent. One connection, for all threads that hold one lock.

    A file that is damaged or no database is set aside as ``<name>.damaged-<time>``, and a new one begins: runs are
    history, and none of them is needed to go on.

    Raises:
        sqlite3.Error, OSError: the file cannot be opened or written; the disk is full, say.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            raise
        aside = _set_aside(path, now)
        logger.error(  # noqa: TRY400  # the reason says it all
            "runs.sqlite was damaged: it was renamed and a new one created. The lake is untouched; earlier runs"
            " are not listed any more. Delete the renamed file when nobody needs it",
            extra={"file": str(aside), "reason": str(error)},
        )
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        if (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _damaged(str(said))
        strange = _lacking(connection) - _ADDED.keys()
        if strange:
            raise _damaged(f"its table of runs has no {', '.join(sorted(strange))}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _bring_up_to_date(connection)
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _lacking(connection: sqlite3.Connection) -> set[str]:
    """The columns that the table of runs lacks, if there is one."""
    there = {row["name"] for row in connection.execute("PRAGMA table_info(run)")}
    with closing(sqlite3.connect(":memory:")) as wanted:
        wanted.executescript(_SCHEMA)
        return {row[1] for row in wanted.execute("PRAGMA table_info(run)")} - there if there else set()


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    lacking = _lacking(connection)
    for name in lacking:
        connection.execute(f"ALTER TABLE run ADD COLUMN {name} {_ADDED[name]}")
    if "depends_on" in lacking:
        connection.execute(_ONE_AFTER_THE_OTHER)


def _damaged(reason: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _set_aside(path: Path, now: datetime) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%S%f}")
    path.rename(aside)
    for end in ("-wal", "-shm"):
        beside = path.with_name(path.name + end)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + end))
    return aside
