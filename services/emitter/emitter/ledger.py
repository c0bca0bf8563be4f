"""The ledger's writing side: intents before the send, acknowledgements after it, in one SQLite file.

A transaction survives ``kill -9`` once it is committed. After a power cut the last ones may be missing (write-ahead
log, ``synchronous=NORMAL``): then rows are sent a second time, never lost.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Self

import msgspec
from pipeline_contracts.names import Kind
from service_kit.clock import Clock

from emitter.errors import LedgerError
from emitter.ledger_lock import LedgerLock
from emitter.rows import Event, PathName, Record, Rejection
from emitter.sources.source import Taken
from emitter.verdicts import Refused, Stored

VERSION = 1
_PAGE = 1_000
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_decode_taken = msgspec.json.Decoder(Taken).decode


class RunKey(msgspec.Struct, frozen=True):
    """What makes two commands the same run."""

    source: str
    seed: int | None
    events: int | None
    pipeline_id: str
    paths: tuple[PathName, ...]


class Run(msgspec.Struct, frozen=True):
    """A run that is being written; ``taken`` is how far it had read when it was opened."""

    id: int
    resumed: bool
    taken: Taken


class Ledger:
    """One process holds it at a time. Methods may be called from any thread and block on the disk.

    Raises:
        LedgerError: another process holds it, the file is not a ledger of this version, it was deleted or emptied, or
            (each writing method) it cannot be written to; then nothing of that call is in it.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._clock = clock
        self._file = file
        self._lock = threading.Lock()
        self._held = LedgerLock(file)
        try:
            self._database = _open(file)
            self._held.note_made()
        except LedgerError:
            self._held.release()
            raise
        try:
            self._next_intent = self._one("SELECT coalesce(max(id), 0) + 1 FROM intents")
        except LedgerError:
            self.__exit__()
            raise
        self._logs: dict[tuple[str, str, str], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._database.close()
            self._held.release()

    def begin(self, key: RunKey, *, fresh: bool) -> Run:
        """Go on with the latest unfinished run of this key, or begin a new one.

        With ``fresh``, unfinished runs of this key are marked abandoned, what they had yet to send is forgotten, and a
        new one begins.
        """
        same = (key.source, key.seed, key.events, key.pipeline_id, ",".join(key.paths))
        unfinished = (
            "source = ? AND seed IS ? AND events IS ? AND pipeline_id = ? AND paths = ?"
            " AND finished IS NULL AND abandoned IS NULL"
        )
        with self._transaction() as database:
            if fresh:
                abandoned = f"SELECT id FROM runs WHERE {unfinished}"  # noqa: S608
                database.execute(
                    f"DELETE FROM pending WHERE intent IN (SELECT id FROM intents WHERE run IN ({abandoned}))",  # noqa: S608
                    same,
                )
                database.execute(f"UPDATE runs SET abandoned = ? WHERE {unfinished}", (self._now(), *same))  # noqa: S608
            found = database.execute(
                f"SELECT id, taken FROM runs WHERE {unfinished} ORDER BY id DESC LIMIT 1",  # noqa: S608
                same,
            ).fetchone()
            if found is not None:
                return Run(found[0], resumed=True, taken=_decode_taken(found[1]))
            cursor = database.execute(
                "INSERT INTO runs (source, seed, events, pipeline_id, paths, started, taken)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*same, self._now(), _encode(Taken())),
            )
            return Run(cursor.lastrowid or 0, resumed=False, taken=Taken())

    def intend(
        self,
        run: int,
        destinations: Sequence[tuple[PathName, dict[Kind, str]]],
        rows: Iterable[Event | Rejection],
        taken: Taken,
    ) -> list[tuple[PathName, Record]]:
        """Commit what is about to be sent, and how far the source is read with it; returns it in order.

        ``destinations`` gives each path's topic or stream per kind.
        """
        out: list[tuple[PathName, Record]] = []
        intents = []
        rejected = []
        number = self._next_intent
        for row in rows:
            if isinstance(row, Rejection):
                rejected.append((run, row.row.kind, row.row.position, row.reason, row.row.value))
                continue
            for path, names in destinations:
                name = names[row.row.kind]
                out.append((path, Record(number, name, row.key, row.content_hash, row.row.value)))
                intents.append((number, run, path, name, row.key, row.content_hash, row.row.kind, row.row.position))
                number += 1
        with self._transaction() as database:
            database.executemany("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", intents)
            database.executemany("INSERT INTO pending VALUES (?, ?)", ((record.id, record.value) for _, record in out))
            database.executemany(
                "INSERT INTO rejected (run, kind, position, reason, value) VALUES (?, ?, ?, ?, ?)", rejected
            )
            database.execute("UPDATE runs SET taken = ? WHERE id = ?", (_encode(taken), run))
        self._next_intent = number
        return out

    def resolve(
        self, path: PathName, stored: Sequence[tuple[Record, Stored]], refused: Sequence[tuple[Record, Refused]]
    ) -> None:
        """Commit the fate of sent records. They are not sent again after this."""
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO acknowledgements VALUES (?, ?, ?, ?)",
                (
                    (record.id, self._log(path, record.name, at.log_id), at.partition, at.offset)
                    for record, at in stored
                ),
            )
            database.executemany(
                "INSERT INTO refused VALUES (?, ?, ?)",
                ((record.id, why.reason, record.value) for record, why in refused),
            )
            database.executemany(
                "DELETE FROM pending WHERE intent = ?", ((record.id,) for record, _ in (*stored, *refused))
            )

    def pending(self, run: int) -> Iterator[tuple[PathName, Record]]:
        """This run's records without a fate, in order, a page at a time. Only those there are when it is called."""
        last = 0
        end = self._next_intent
        while True:
            with self._lock, told(self._file, "read"):
                page = self._database.execute(
                    "SELECT i.path, i.id, i.name, i.key, i.content_hash, p.value FROM pending p JOIN intents i"
                    " ON i.id = p.intent WHERE p.intent > ? AND p.intent < ? AND i.run = ? ORDER BY p.intent LIMIT ?",
                    (last, end, run, _PAGE),
                ).fetchall()
            for path, *fields in page:
                yield path, Record(*fields)
            if len(page) < _PAGE:
                return
            last = page[-1][1]

    def close_run(self, run: int, *, retried: int, seconds: float, complete: bool) -> None:
        """Add this process' figures to the run; a complete one is never gone on with."""
        with self._transaction() as database:
            database.execute(
                "UPDATE runs SET retried = retried + ?, seconds = seconds + ?, finished = ? WHERE id = ?",
                (retried, seconds, self._now() if complete else None, run),
            )

    def _log(self, path: PathName, name: str, log_id: str) -> int:
        """The short id of a log; called inside a transaction."""
        known = self._logs.get((path, name, log_id))
        if known is None:
            self._database.execute(
                "INSERT OR IGNORE INTO logs (path, name, log_id) VALUES (?, ?, ?)", (path, name, log_id)
            )
            known = self._one("SELECT id FROM logs WHERE path = ? AND name = ? AND log_id = ?", path, name, log_id)
            self._logs[path, name, log_id] = known
        return known

    def _one(self, query: str, *values: str) -> int:
        with told(self._file, "read"):
            number: int = self._database.execute(query, values).fetchone()[0]
        return number

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                with told(self._file, "write to"):
                    self._database.execute("BEGIN IMMEDIATE")
                    yield self._database
                    self._database.execute("COMMIT")
            except BaseException:
                self._logs.clear()
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="milliseconds")


@contextmanager
def told(file: Path, doing: str) -> Iterator[None]:
    """Turn errors of SQLite, and of reading what a damaged file gives, into one that says what a person can do.

    Raises:
        LedgerError: SQLite could not do it.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise LedgerError(f"cannot {doing} the ledger {file}: {_remedy(error)}") from error


def _remedy(error: Exception) -> str:
    """The error; of a damaged file, what to do as well."""
    unread = not isinstance(error, sqlite3.Error) or "no such table" in str(error) or "decode" in str(error)
    if unread or getattr(error, "sqlite_errorcode", None) in _DAMAGED:
        return (
            f"{error}. The file is damaged: put a copy of it back, or move it away and send again. What is sent twice "
            "counts once; the audit can no longer compare what it knew as acknowledged"
        )
    return str(error)


def _open(file: Path) -> sqlite3.Connection:
    try:
        # Autocommit: transactions are begun and ended by hand. All use is under one lock.
        database = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            schema = resources.files("emitter").joinpath("schema.sql").read_text("utf-8")
            database.executescript(f"BEGIN;\n{schema}\nPRAGMA user_version = {VERSION};\nCOMMIT;")
            version = VERSION
    except (sqlite3.Error, UnicodeDecodeError) as error:
        msg = f"{file} cannot be used as a ledger: {_remedy(error)}; or set EMITTER_LEDGER to another file"
        raise LedgerError(msg) from error
    if version != VERSION:
        database.close()
        msg = f"{file} is a ledger of version {version}, this program writes version {VERSION}; set EMITTER_LEDGER"
        raise LedgerError(msg)
    return database


def _encode(taken: Taken) -> str:
    return msgspec.json.encode(taken).decode()
