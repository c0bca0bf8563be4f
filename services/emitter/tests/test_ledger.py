import contextlib
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from emitter.errors import LedgerError
from emitter.ledger import VERSION, Ledger, RunKey
from emitter.ledger_lock import LedgerLock, lock_of
from emitter.ledger_reader import Acknowledged, Coordinate, LedgerReader, PathCounts
from emitter.rows import Event, Rejection, Row, examine
from emitter.sources.source import Taken
from emitter.verdicts import Refused, Stored
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.names import KINDS, Kind, Names
from service_kit.clock import ManualClock

NAMES: dict[Kind, str] = {kind: Names().topic(kind) for kind in KINDS}
KEY = RunKey("generator", 1, 10, "pinterest", ("batch",))


def events(*numbers: int) -> list[Event | Rejection]:
    return [examine(Row("geo", b'{"ind":%d}' % number, str(number))) for number in numbers]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "ledger.sqlite"


def test_intents_acknowledgements_and_what_the_audit_reads(file: Path) -> None:
    with Ledger(file, ManualClock()) as ledger:
        run = ledger.begin(KEY, fresh=False)
        taken = Taken(4, "geo", {"geo": "4"})
        rows = [*events(1, 2, 3), examine(Row("user", b"oops", "9"))]
        records = [record for _, record in ledger.intend(run.id, [("batch", NAMES)], rows, taken)]
        assert [record.id for record in records] == [1, 2, 3]
        ledger.resolve(
            "batch",
            [(records[0], Stored("L", "2", 10)), (records[1], Stored("L", "2", 9))],
            [(records[2], Refused("too large"))],
        )
        ledger.intend(run.id, [("batch", NAMES)], events(5), taken)
    with LedgerReader(file) as reader:
        assert reader.acknowledged() == [Acknowledged("batch", "pinterest.geo", "L", "2", 2)]
        assert list(reader.coordinates("batch", "pinterest.geo", "L", "2")) == [
            Coordinate(9, records[1].content_hash),
            Coordinate(10, records[0].content_hash),
        ]
        assert reader.paths(run.id) == {"batch": PathCounts(2, 1, 1)}
        assert reader.events(run.id) == {"pin": 0, "geo": 2, "user": 0}
        [problem] = reader.rejected(run.id)
        assert (problem.kind, problem.position, problem.records) == ("user", "9", 1)
        [problem] = reader.refused(run.id)
        assert (problem.reason, problem.position) == ("too large", "3")


def test_an_unfinished_run_is_gone_on_with_and_a_finished_one_is_not(file: Path) -> None:
    taken = Taken(2, "geo", {"geo": "2"})
    with Ledger(file, ManualClock()) as ledger:
        first = ledger.begin(KEY, fresh=False)
        ledger.intend(first.id, [("batch", NAMES)], events(1, 2), taken)
    with Ledger(file, ManualClock()) as ledger:
        again = ledger.begin(KEY, fresh=False)
        assert (again.id, again.resumed, again.taken) == (first.id, True, taken)
        assert [record.value for _, record in ledger.pending(again.id)] == [b'{"ind":1}', b'{"ind":2}']
        other = ledger.begin(RunKey("generator", 2, 10, "pinterest", ("batch",)), fresh=False)
        assert (other.id, other.resumed) == (2, False)
        assert list(ledger.pending(other.id)) == []
        ledger.close_run(again.id, retried=0, seconds=1, complete=True)
        assert ledger.begin(KEY, fresh=False).id == 3
        assert ledger.begin(KEY, fresh=True).id == 4
        assert ledger.begin(KEY, fresh=False).id == 4


def test_pending_is_paged_while_it_shrinks(file: Path) -> None:
    with Ledger(file, ManualClock()) as ledger:
        run = ledger.begin(KEY, fresh=False)
        ledger.intend(run.id, [("batch", NAMES)], events(*range(2_500)), Taken())
        seen = []
        for path, record in ledger.pending(run.id):
            seen.append(int(record.key))
            ledger.resolve(path, [(record, Stored("L", "0", record.id))], [])
        assert seen == list(range(2_500))
        assert list(ledger.pending(run.id)) == []


def test_one_process_at_a_time(file: Path) -> None:
    with Ledger(file, ManualClock()), pytest.raises(LedgerError, match=r"in use by process \d+"):
        Ledger(file, ManualClock())
    Ledger(file, ManualClock()).__exit__()


@pytest.mark.parametrize("emptied", [False, True])
def test_a_ledger_that_is_gone_is_not_begun_anew(file: Path, emptied: bool) -> None:
    """The audit would compare with the new one, and could say that all is well."""
    for _ in range(2):
        Ledger(file, ManualClock()).__exit__()
    file.unlink()
    if emptied:
        file.touch()
    for _ in range(2):
        with pytest.raises(LedgerError, match="was deleted or emptied: put a copy of it back, or delete"):
            Ledger(file, ManualClock())
    lock_of(file).unlink()
    Ledger(file, ManualClock()).__exit__()


def test_what_ended_before_there_was_a_ledger_is_begun_anew(file: Path) -> None:
    LedgerLock(file).release()
    file.touch()
    Ledger(file, ManualClock()).__exit__()


def test_a_failed_transaction_leaves_nothing(file: Path) -> None:
    with Ledger(file, ManualClock()) as ledger:
        run = ledger.begin(KEY, fresh=False)
        [(_, record)] = ledger.intend(run.id, [("batch", NAMES)], events(1), Taken())
        at = Stored("L", "0", 0)
        with pytest.raises(Exception, match="UNIQUE"):
            ledger.resolve("batch", [(record, at), (record, at)], [])
        assert len(list(ledger.pending(run.id))) == 1
        ledger.resolve("batch", [(record, at)], [])
    with LedgerReader(file) as reader:
        assert [row.records for row in reader.acknowledged()] == [1]


def test_files_that_are_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        LedgerReader(tmp_path / "none")
    (tmp_path / "text").write_text("hello, I am a text file, and long enough to be looked at as a database" * 20)
    with pytest.raises(LedgerError, match="EMITTER_LEDGER"):
        Ledger(tmp_path / "text", ManualClock())


def test_a_fresh_start_forgets_what_abandoned_runs_had_yet_to_send(file: Path) -> None:
    """Their rows would stay in the ledger for ever."""
    other = RunKey("generator", 2, 10, "pinterest", ("batch",))
    with Ledger(file, ManualClock()) as ledger:
        for key in (KEY, other):
            run = ledger.begin(key, fresh=False)
            ledger.intend(run.id, [("batch", NAMES)], events(1, 2), Taken(2, "geo", {"geo": "2"}))
        ledger.begin(KEY, fresh=True)
        assert list(ledger.pending(1)) == []
        assert len(list(ledger.pending(2))) == 2


@given(st.integers(0, 40_000), st.binary(min_size=1, max_size=4_096), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_damaged_ledger_is_named_and_never_a_traceback(at: int, junk: bytes, cut: bool) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.sqlite"
        with Ledger(file, ManualClock()) as ledger:
            run = ledger.begin(KEY, fresh=False)
            ledger.intend(run.id, [("batch", NAMES)], events(*range(200)), Taken())
        content = file.read_bytes()
        at %= len(content)
        file.write_bytes(content[:at] if cut else content[:at] + junk + content[at + len(junk) :])
        with contextlib.suppress(LedgerError), LedgerReader(file) as reader:
            reader.acknowledged()
            list(reader.coordinates("batch", "a", "b", "0"))
            reader.paths(run.id)
            reader.rejected(run.id)
        with contextlib.suppress(LedgerError), Ledger(file, ManualClock()) as ledger:
            again = ledger.begin(KEY, fresh=False)
            list(ledger.pending(again.id))
            ledger.intend(again.id, [("batch", NAMES)], events(1), Taken())


def test_a_file_that_is_no_ledger_is_said_with_the_remedy(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"not a database, but long enough to be taken for one" * 50)
    with pytest.raises(LedgerError, match="The file is damaged: put a copy of it back, or move it away"):
        Ledger(file, ManualClock())
    file.unlink()
    database = sqlite3.connect(file)
    database.execute(f"PRAGMA user_version = {VERSION}")
    database.close()
    with pytest.raises(LedgerError, match=r"no such table: intents\. The file is damaged"):
        Ledger(file, ManualClock())
