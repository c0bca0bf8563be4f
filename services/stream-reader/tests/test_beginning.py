"""Whatever is damaged, lost or put back from a copy between two starts: each record is stored once.

The engine here writes checkpoints as Spark does (the files are those of a real query) and repeats a planned batch as it
does. It crashes between any two steps.
"""

import json
import random
import shutil
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Names
from spark_kit.lake import Transaction
from stream_reader.lake.fakes import MemoryTables
from stream_reader.queries.beginning import Beginning, begin
from stream_reader.queries.checkpoints import read_checkpoint
from stream_reader.queries.marks import application

NAMES = Names("t")
TABLE = stream_table(NAMES, "pin")
LOG = "arn:aws:kinesis:us-east-1:000000000000:stream/streaming-t-pin@1000"
START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("log_id", "partition", "offset")),
        ("recorded_at", pa.timestamp("us", "UTC")),
    ]
)
RETAINED = 3
Record = tuple[str, int]
"""Shard, and sequence number; every third record is a bad one."""


class CrashError(Exception):
    """The process is killed here."""


class Engine:
    """One query on one stream, over tables in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = MemoryTables({TABLE: SCHEMA, STREAM_QUARANTINE: SCHEMA})
        self.stream: list[Record] = []
        self.begun: Beginning | None = None
        self.crash_in = 1_000_000

    def arrive(self, shard: str, count: int) -> None:
        # Of different lengths: sequence numbers compare as numbers.
        self.stream += [(shard, 95 + len(self.stream) + number) for number in range(count)]

    def start(self) -> None:
        self.begun = begin(self.tables, NAMES, "pin", LOG, self.folder)
        found = read_checkpoint(self.folder)
        if found is None:
            self.query_id = str(uuid.uuid4())
            self._write("metadata", json.dumps({"id": self.query_id}))
            self.number, self.last = 0, dict[str, int]()
            return
        self.query_id, self.number, self.last = found.query_id, found.planned, {}
        if found.planned >= 0:
            planned = json.loads((self.folder / "offsets" / str(found.planned)).read_text().split("\n")[2])["shards"]
            self.last = {name: int(entry["last"]) for name, entry in planned.items()}
            if not (self.folder / "commits" / str(found.planned)).exists():
                self._run(planned)
        self.number += 1

    def batch(self, most: int) -> None:
        """Plan, run and commit the next batch."""
        new = [one for one in self.stream if one[1] > self.last.get(one[0], 0)][:most]
        if not new:
            return
        shards: dict[str, dict[str, Any]] = {name: {"last": str(last)} for name, last in self.last.items()}
        for shard, number in new:
            entry = shards.setdefault(shard, {})
            entry.setdefault("first", str(number))
            entry["last"] = str(number)
        self._step()
        offset = {"version": 1, "stream": {"arn": "arn", "created_ms": 1000}, "shards": shards}
        self._write(f"offsets/{self.number}", f'v1\n{{"batchWatermarkMs":0,"conf":{{}}}}\n{json.dumps(offset)}')
        self._run(shards)
        self.last = {name: int(entry["last"]) for name, entry in shards.items()}
        self.number += 1

    def _run(self, shards: dict[str, dict[str, Any]]) -> None:
        assert self.begun is not None
        rows = [
            (shard, number)
            for shard, number in self.stream
            if "first" in (entry := shards.get(shard, {})) and int(entry["first"]) <= number <= int(entry["last"])
        ]
        read = table_of(rows)
        places = list(zip(read["partition"].to_pylist(), read["offset"].to_pylist(), strict=True))
        new = self.begun.known.without(read) if self.begun.known.overlaps(places) else read
        bad = pa.array([int(offset) % 3 == 0 for offset in new["offset"].to_pylist()], pa.bool_())
        for table, part in ((STREAM_QUARANTINE, new.filter(bad)), (TABLE, new.filter(pa.compute.invert(bad)))):
            self._step()
            if part.num_rows:
                self.tables.append(table, part, Transaction(application(self.query_id, table), self.number))
                self.begun.appended(table, self.number)
        self._step()
        self.begun.keep()
        self._step()
        self._write(f"commits/{self.number}", 'v1\n{"nextBatchWatermarkMs":0}')
        for log in ("offsets", "commits"):
            (self.folder / log / str(self.number - RETAINED)).unlink(missing_ok=True)

    def _step(self) -> None:
        self.crash_in -= 1
        if self.crash_in == 0:
            raise CrashError

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def stored(self) -> Counter[Record]:
        rows = [*self.tables.rows(TABLE), *self.tables.rows(STREAM_QUARANTINE)]
        return Counter((row["partition"], int(row["offset"])) for row in rows if row["log_id"] == LOG)

    def files(self) -> list[Path]:
        return sorted(file for file in self.folder.rglob("*") if file.is_file())


def table_of(records: list[Record]) -> pa.Table:
    rows = [
        {"log_id": LOG, "partition": shard, "offset": str(number), "recorded_at": START + timedelta(seconds=number)}
        for shard, number in records
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def damage(file: Path, rng: random.Random) -> str:
    """What a power cut, a full disk or a person leaves of a file."""
    content = file.read_bytes()
    way = rng.choice(["cut", "cut", "empty", "zeros", "garbage", "missing", "last line missing", "a folder"])
    file.unlink()
    if way == "cut":
        file.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif way == "empty":
        file.write_bytes(b"")
    elif way == "zeros":
        file.write_bytes(b"\0" * len(content))
    elif way == "garbage":
        file.write_bytes(rng.randbytes(len(content)))
    elif way == "last line missing":
        file.write_bytes(content.rpartition(b"\n")[0])
    elif way == "a folder":
        file.mkdir()
    return way


def others_write(engine: Engine, batches: int) -> None:
    """Another kind's bad records, which go to the same quarantine."""
    for number in range(batches):
        other = table_of([("a", number)]).drop_columns(["log_id"]).add_column(0, "log_id", [["other"]])
        engine.tables.append(STREAM_QUARANTINE, other, Transaction(str(uuid.uuid4()), 0))


def trouble(engine: Engine, copies: list[tuple[MemoryTables, Path]], rng: random.Random) -> None:
    """One thing that happens to the state of a process that does not run."""
    what = rng.choice(
        ["damage", "damage", "damage", "no log", "table", "tables", "copy", "old tables", "old checkpoint", "others"]
    )
    if what == "damage" and engine.files():
        damage(rng.choice(engine.files()), rng)
    elif what == "no log":
        shutil.rmtree(engine.folder / rng.choice(["offsets", "commits"]), ignore_errors=True)
    elif what in ("table", "tables"):
        for table in [TABLE, STREAM_QUARANTINE][rng.randrange(2) :] if what == "table" else [TABLE, STREAM_QUARANTINE]:
            engine.tables.make_anew(table)
    elif what == "copy" and engine.folder.exists():
        copied = engine.folder.with_name(f"copy {len(copies)}")
        shutil.copytree(engine.folder, copied)
        copies.append((engine.tables.copied(), copied))
    elif what == "others" and not copies:  # after a copy was put back they would hide that a version is missing
        others_write(engine, rng.randrange(1, 4))
    elif what == "old tables" and copies:
        engine.tables = rng.choice(copies)[0].copied()
    elif what == "old checkpoint" and copies:
        shutil.rmtree(engine.folder, ignore_errors=True)
        shutil.copytree(rng.choice(copies)[1], engine.folder)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_record_is_stored_once_whatever_happens_to_the_state(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = random.Random(seed)
    engine = Engine(tmp_path_factory.mktemp("state") / "1000")
    copies: list[tuple[MemoryTables, Path]] = []
    for _ in range(rng.randrange(2, 7)):
        engine.crash_in = rng.choice([1_000_000, rng.randrange(1, 25)])
        try:
            engine.start()
            for _ in range(rng.randrange(6)):
                engine.arrive(rng.choice("ab"), rng.randrange(4))
                engine.batch(rng.randrange(1, 5))
        except CrashError:
            pass
        for _ in range(rng.choice([0, 1, 1, 2])):
            trouble(engine, copies, rng)
    engine.crash_in = 1_000_000
    engine.arrive("a", 2)
    engine.start()
    while engine.stored().total() < len(engine.stream) and engine.number < 1_000:
        before = engine.number
        engine.batch(3)
        assert engine.number > before, "nothing is left to read, and records are missing"
    engine.batch(100)
    assert engine.stored() == Counter(engine.stream)
    assert len(list(engine.folder.parent.glob("*.damaged"))) <= 1


def ran(folder: Path) -> Engine:
    """An engine that stored some batches and was stopped in order."""
    engine = Engine(folder / "1000")
    engine.start()
    for _ in range(4):
        engine.arrive("a", 3)
        engine.batch(3)
    return engine


@pytest.mark.parametrize("name", ["metadata", "tables.json", "offsets/3", "offsets/2", "commits/3", "commits/2"])
def test_a_file_that_is_cut_is_noticed(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = ran(tmp_path)
    whole = engine.folder.with_name("whole")
    shutil.copytree(engine.folder, whole)
    content = (whole / name).read_bytes()
    for length in range(0, len(content), max(1, len(content) // 20)):
        shutil.rmtree(engine.folder)
        shutil.copytree(whole, engine.folder)
        (engine.folder / name).write_bytes(content[:length])
        caplog.clear()
        begin(engine.tables, NAMES, "pin", LOG, engine.folder)
        aside = engine.folder.with_name("1000.damaged")
        assert (aside / name).read_bytes() == content[:length], length
        (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert str(engine.folder / name) in str(getattr(told, "reason", ""))
        assert not (engine.folder / "metadata").exists()


def test_a_whole_checkpoint_is_kept_and_no_row_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ran(tmp_path)

    def not_read(*_: object) -> None:
        raise AssertionError("the tables were read")

    monkeypatch.setattr(MemoryTables, "read", not_read)
    begin(engine.tables, NAMES, "pin", LOG, engine.folder)
    assert not engine.folder.with_name("1000.damaged").exists()


@pytest.mark.parametrize("forgotten", [False, True])
def test_of_a_quarantine_that_others_wrote_to_only_what_is_new_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    """A flood of another kind's bad records must not slow down every start. Delta forgets old versions after a day."""
    engine = ran(tmp_path)
    others_write(engine, 3)
    asked: list[tuple[str, int | None]] = []
    read = MemoryTables.read

    def noted(tables: MemoryTables, table: str, columns: Any, where: Any = None, since: int | None = None) -> Any:
        asked.append((table, since))
        if since is not None and forgotten:
            raise DeltaError("no such version")
        return read(tables, table, columns, where, since)

    monkeypatch.setattr(MemoryTables, "read", noted)
    version = engine.tables.version(STREAM_QUARANTINE) - 3
    begun = begin(engine.tables, NAMES, "pin", LOG, engine.folder)
    assert asked == [(STREAM_QUARANTINE, version), *[(STREAM_QUARANTINE, None)] * forgotten]
    assert begun.known.highest == ({"a": "105"} if forgotten else {})
    asked.clear()
    begin(engine.tables, NAMES, "pin", LOG, engine.folder)
    assert asked == []


def test_a_checkpoint_without_its_record_of_the_tables_is_set_aside(tmp_path: Path) -> None:
    """Nobody can tell then whether tables were put back from a copy: its batches may be gone."""
    engine = ran(tmp_path)
    (engine.folder / "tables.json").unlink()
    begun = begin(engine.tables, NAMES, "pin", LOG, engine.folder)
    assert engine.folder.with_name("1000.damaged").exists()
    assert begun.known.highest == {"a": "106"}


def test_the_last_commit_may_be_missing(tmp_path: Path) -> None:
    """The process was killed before it: the batch is repeated, and what it had stored is left out."""
    engine = ran(tmp_path)
    (engine.folder / "commits" / "3").unlink()
    engine.start()
    assert not engine.folder.with_name("1000.damaged").exists()
    assert engine.stored() == Counter(engine.stream)


def test_tables_lost_while_the_query_runs_are_noticed(tmp_path: Path) -> None:
    engine = ran(tmp_path)
    assert engine.begun is not None
    assert engine.begun.lost() is None
    engine.tables.make_anew(TABLE)
    assert engine.begun.lost() == f"the table {TABLE} was lost or recreated"
