"""Each fate of the batch path, on a lake of real Delta tables written by hand."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.names import Names
from pipeline_local.audit.fates import Acknowledged, Stages, audit
from pipeline_local.audit.report import Audit
from pipeline_local.audit.stages import Coordinate, CoveredRange, LogPartition
from pipeline_local.lake import Lake
from pyarrow.dataset import Dataset

TOPIC = "pinterest.geo"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT = {"topic": TOPIC, "log_id": "L", "partition": 0}
SETTLED = pa.struct(
    [("ind", pa.int32()), ("log_id", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
     ("content_hash", pa.string())]
)  # fmt: skip


def bronze(folder: Path, offsets: dict[int, str], batch: int = 1) -> None:
    rows = [{**AT, "offset": offset, "content_hash": h, "ingest_batch": batch} for offset, h in offsets.items()]
    write_deltalake(folder / "bronze/events", pa.Table.from_pylist(rows), mode="append", partition_by=["topic"])


def silver(folder: Path, *rows: tuple[int, int, str, list[tuple[int, str]]], cleaned_through: int = 1) -> None:
    table = pa.Table.from_pylist(
        [
            {
                "ind": ind, "log_id": "L", "partition": 0, "offset": offset, "content_hash": content,
                "superseded": [
                    {"ind": ind, "log_id": "L", "partition": 0, "offset": o, "content_hash": h} for o, h in superseded
                ],
            }
            for ind, offset, content, superseded in rows
        ],
        schema=pa.schema([*SETTLED.fields, ("superseded", pa.list_(SETTLED))]),
    )  # fmt: skip
    note = CommitProperties(custom_metadata={"userMetadata": json.dumps({"cleaned_batch": cleaned_through})})
    write_deltalake(folder / "silver/geo", table, commit_properties=note)


def quarantine(folder: Path, source: str, offset: int) -> None:
    write_deltalake(
        folder / "quarantine/batch", pa.Table.from_pylist([{**AT, "source": source, "offset": offset}]), mode="append"
    )


def ledger(folder: Path, key: str, etag: str) -> None:
    write_deltalake(folder / "bronze/objects", pa.Table.from_pylist([{"object_key": key, "etag": etag}]), mode="append")


def judged(
    folder: Path,
    *,
    high: int | None,
    low: int = 0,
    covered: tuple[tuple[int, int, str], ...] = (),
    with_holes: tuple[CoveredRange, ...] = (),
    dead: tuple[int, ...] = (),
    acknowledged: dict[int, str] | None = None,
) -> Audit:
    """``high`` is None where the log is gone."""
    logs = [] if high is None else [LogPartition(TOPIC, "L", 0, low, high)]
    ranges = [CoveredRange(TOPIC, "L", 0, first, until, until - first, key, "e") for first, until, key in covered]
    ranges += with_holes
    rows = [{**AT, "offset": offset, "content_hash": content} for offset, content in (acknowledged or {}).items()]
    said = pa.Table.from_pylist(rows, schema=Acknowledged)
    origins = {Coordinate(TOPIC, "L", 0, offset) for offset in dead}
    return Audit(audit(Names(), Lake(folder), Stages(logs, ranges, origins, said, logs)))


def row(found: Audit) -> dict[str, Any]:
    (only,) = found.as_document()["rows"]
    return {name: value for name, value in only.items() if value not in (0, [], None)} | {
        "sum": found.rows[0].fates + sum(last - first + 1 for first, last in only["missing"])
    }


def test_every_fate_at_once(tmp_path: Path) -> None:
    """Post 1: A, B, A again; post 2: once; then a bad row, a dead letter, and one that is still in the log."""
    bronze(tmp_path, {0: "1A", 1: "1B", 2: "1A", 3: "2", 4: "bad"})
    silver(tmp_path, (1, 1, "1B", [(0, "1A")]), (2, 3, "2", []))
    quarantine(tmp_path, "record", 4)
    ledger(tmp_path, "o", "e")
    found = judged(tmp_path, high=7, covered=((0, 6, "o"),), dead=(5,), acknowledged={0: "1A", 3: "2"})
    assert row(found) == {
        "path": "batch", "name": TOPIC, "log_id": "L", "acknowledged": 2, "unacknowledged": 5, "in_log": 7,
        "in_objects": 6, "in_bronze": 5, "current": 2, "superseded": 1, "repeated": 1, "quarantined": 1,
        "dead_lettered": 1, "in_flight": 1, "sum": 7,
    }  # fmt: skip
    assert found.exit_code == 4


def test_all_at_rest(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    assert judged(tmp_path, high=1, acknowledged={0: "1"}).exit_code == 0


def test_a_record_that_ingest_passed_over_is_missing(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1", 3: "4"})
    silver(tmp_path, (1, 0, "1", []), (4, 3, "4", []))
    ledger(tmp_path, "o", "e")
    found = judged(tmp_path, high=4, covered=((0, 4, "o"),))
    assert found.rows[0].missing == [[1, 2]]
    assert found.exit_code == 1
    assert row(found)["sum"] == 4


def holey(first: int, until: int, records: int, dead: int = 0, key: str = "o") -> CoveredRange:
    return CoveredRange(TOPIC, "L", 0, first, until, records, key, "e", dead)


def test_offsets_without_records_have_no_fate(tmp_path: Path) -> None:
    """Markers between records, a dead letter among them, and behind the last one an object of markers alone."""
    bronze(tmp_path, {0: "1", 3: "4"})
    silver(tmp_path, (1, 0, "1", []), (4, 3, "4", []))
    ledger(tmp_path, "o", "e")
    objects = (holey(0, 6, 2, 1), holey(6, 8, 0, key="unread"))
    found = judged(tmp_path, high=8, with_holes=objects, dead=(4,), acknowledged={0: "1", 3: "4"})
    assert (found.exit_code, found.rows[0].in_log, found.rows[0].dead_lettered) == (0, 3, 1)


def test_a_record_that_is_lost_among_holes_is_missing(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    ledger(tmp_path, "o", "e")
    found = judged(tmp_path, high=4, with_holes=(holey(0, 4, 2),))
    assert (found.exit_code, found.rows[0].missing) == (1, [[1, 3]])
    lost_letter = judged(tmp_path, high=4, with_holes=(holey(0, 4, 1, 1),))
    assert (lost_letter.exit_code, lost_letter.rows[0].missing) == (1, [[1, 3]])


def test_an_acknowledged_record_is_no_hole(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    ledger(tmp_path, "o", "e")
    found = judged(tmp_path, high=4, with_holes=(holey(0, 4, 1),), acknowledged={2: "x"})
    assert (found.exit_code, found.rows[0].missing) == (1, [[2, 2]])


def test_of_an_object_that_was_not_read_its_records_are_in_flight_and_no_holes(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    found = judged(tmp_path, high=12, with_holes=(holey(0, 5, 3), holey(5, 10, 2, 1, key="p")), dead=(6,))
    row = found.rows[0]
    assert (row.in_flight, row.in_log, found.exit_code) == (2 + 2 + 2, 8, 4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("rrrdh"), min_size=1, max_size=5), max_size=5), st.data())
def test_every_record_has_one_fate_and_no_hole_has_any(objects: list[list[str]], data: st.DataObject) -> None:
    """Objects of records, dead letters and holes; some are read, and of those at most one record is lost.

    Their log may have been cut short since, or be gone.
    """
    offset = 0
    ranges: list[CoveredRange] = []
    dead: list[int] = []
    stored: dict[int, str] = {}
    read: list[str] = []
    for number, kinds in enumerate(objects):
        places = list(enumerate(kinds, offset))
        key = f"o{number}"
        ranges.append(holey(offset, offset + len(kinds), kinds.count("r"), kinds.count("d"), key))
        dead += [place for place, kind in places if kind == "d"]
        if data.draw(st.booleans()):
            read.append(key)
            stored |= {place: str(place) for place, kind in places if kind == "r"}
        offset += len(kinds)
    lost = data.draw(st.none() | st.sampled_from(sorted(stored))) if stored else None
    with TemporaryDirectory() as name:
        folder = Path(name)
        kept = {place: content for place, content in stored.items() if place != lost}
        if kept:
            bronze(folder, kept)
            silver(folder, *[(place, place, content, []) for place, content in kept.items()])
        for key in read:
            ledger(folder, key, "e")
        high = data.draw(st.sampled_from([offset, None]) | st.integers(0, offset))
        found = judged(folder, high=high, with_holes=tuple(ranges), dead=tuple(dead))
    if not offset:
        return
    (row,) = found.rows
    records = sum(kind != "h" for kinds in objects for kind in kinds)
    assert (row.current, row.dead_lettered) == (len(kept), len(dead))
    assert row.in_flight == records - len(dead) - len(stored)
    named = [place for first, last in row.missing for place in range(int(first), int(last) + 1)]
    assert (lost in named) if lost is not None else not named
    cut = high is not None and high < offset
    assert row.cut == ([[high, offset - 1]] if cut else [])
    assert found.exit_code == (1 if cut or lost is not None else 4 if row.in_flight else 0)
    if lost is None:
        assert row.in_log == row.fates == records


@pytest.mark.parametrize("high", [6, 20, None])
def test_what_no_object_holds_and_the_log_has_no_more_is_lost(tmp_path: Path, high: int | None) -> None:
    """In a log that begins behind it, in one that was cut short before it, and in one that is gone."""
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    objects = ((0, 1, "first"), (12, 14, "last"))
    found = judged(tmp_path, high=high, low=20 if high == 20 else 0, covered=objects)
    row = found.rows[0]
    lost = {6: [[6, 11]], 20: [[1, 11], [14, 19]], None: [[1, 11]]}
    assert (row.lost, row.expired) == (lost[high], sum(int(last) - int(first) + 1 for first, last in lost[high]))
    assert row.in_flight == 2 + (5 if high == 6 else 0)
    assert row.cut == ([[6, 13]] if high == 6 else [])
    assert found.exit_code == 1


def test_an_acknowledged_record_beyond_the_end_of_its_log_is_cut_off(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1", 1: "2", 2: "3"})
    silver(tmp_path, (1, 0, "1", []), (2, 1, "2", []), (3, 2, "3", []))
    found = judged(tmp_path, high=2, acknowledged={1: "2", 2: "3"})
    assert (found.rows[0].cut, found.rows[0].missing, found.exit_code) == ([[2, 2]], [], 1)


def test_an_object_that_ingest_has_not_read_is_in_flight(tmp_path: Path) -> None:
    assert judged(tmp_path, high=4, covered=((0, 4, "o"),)).rows[0].in_flight == 4


def test_a_record_without_a_fate_is_in_flight_until_its_batch_is_cleaned(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1"}, batch=2)
    assert judged(tmp_path, high=1).rows[0].in_flight == 1
    silver(tmp_path, cleaned_through=1)
    assert judged(tmp_path, high=1).rows[0].in_flight == 1
    shutil.rmtree(tmp_path / "silver")
    silver(tmp_path, cleaned_through=2)
    assert judged(tmp_path, high=1).rows[0].missing == [[0, 0]]


def test_below_the_low_watermark_is_expired_unless_it_was_read(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    found = judged(tmp_path, high=3, low=3)
    assert (found.rows[0].expired, found.rows[0].current, found.exit_code) == (2, 1, 1)


def test_a_coordinate_that_stands_twice_is_doubled(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1", 1: "2"})
    bronze(tmp_path, {1: "2"})
    silver(tmp_path, (1, 0, "1", []), (2, 1, "2", []))
    found = judged(tmp_path, high=2)
    assert (found.rows[0].doubled, found.exit_code) == ([[1, 1]], 1)


def test_two_current_rows_of_one_post_are_doubled(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1A", 1: "1B"})
    silver(tmp_path, (1, 0, "1A", []), (1, 1, "1B", []))
    assert judged(tmp_path, high=2).rows[0].doubled == [[0, 1]]


def test_an_acknowledged_record_that_is_nowhere_is_missing(tmp_path: Path) -> None:
    assert judged(tmp_path, high=0, acknowledged={7: "x"}).rows[0].missing == [[7, 7]]


def test_an_acknowledged_record_with_other_content_is_altered(tmp_path: Path) -> None:
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    found = judged(tmp_path, high=1, acknowledged={0: "other"})
    assert (found.rows[0].altered, found.exit_code) == ([[0, 0]], 1)


@pytest.mark.parametrize("empty", [True, False])
def test_a_log_that_was_made_anew_keeps_its_old_rows(tmp_path: Path, empty: bool) -> None:
    bronze(tmp_path, {0: "1"})
    silver(tmp_path, (1, 0, "1", []))
    logs = [] if empty else [LogPartition(TOPIC, "new", 0, 0, 0)]
    stages = Stages(logs, [], set(), Acknowledged.empty_table(), logs)
    found = Audit(audit(Names(), Lake(tmp_path), stages))
    old = next(one for one in found.rows if one.log_id == "L")
    assert (old.in_log, old.current, found.exit_code) == (1, 1, 0)


LOOKS = 3 + 1 + 3 + 2  # marks, quarantine, silver, the ledger of objects and events


class Moving(Lake):
    """A lake in which something is done before the nth look at a table."""

    def __init__(self, root: Path, looks: int, do: Callable[[], None]) -> None:
        super().__init__(root)
        self.looks, self._do = looks, do

    def dataset(self, table: str, version: int | None = None) -> Dataset | None:
        self._look()
        return super().dataset(table, version)

    def notes(self, table: str) -> Iterator[str]:
        self._look()
        return super().notes(table)

    def _look(self) -> None:
        if not self.looks:
            self._do()
        self.looks -= 1


def ingested_and_cleaned(folder: Path) -> None:
    bronze(folder, {1: "2", 2: "bad"}, batch=2)
    ledger(folder, "new", "e")
    quarantine(folder, "record", 2)
    shutil.rmtree(folder / "silver")
    silver(folder, (1, 0, "1", []), (2, 1, "2", []), cleaned_through=2)


def replayed(folder: Path) -> None:
    """A fixed cleaner moves the record from quarantine to silver."""
    shutil.rmtree(folder / "silver")
    silver(folder, (1, 0, "1", []), (2, 1, "2", []), cleaned_through=2)
    DeltaTable(folder / "quarantine/batch").delete()


@pytest.mark.parametrize("looks", range(LOOKS))
@pytest.mark.parametrize("meanwhile", [ingested_and_cleaned, replayed])
def test_nothing_is_missing_while_an_analysis_commits(
    tmp_path: Path, meanwhile: Callable[[Path], None], looks: int
) -> None:
    bronze(tmp_path, {0: "1"})
    ledger(tmp_path, "old", "e")
    quarantine(tmp_path, "dead_letter", 3)
    silver(tmp_path, (1, 0, "1", []))
    if meanwhile is replayed:
        bronze(tmp_path, {1: "2"}, batch=2)
        ledger(tmp_path, "new", "e")
        quarantine(tmp_path, "record", 1)
    lake = Moving(tmp_path, looks, lambda: meanwhile(tmp_path))
    logs = [LogPartition(TOPIC, "L", 0, 0, 2 if meanwhile is replayed else 4)]
    covered = [CoveredRange(TOPIC, "L", 0, 0, 1, 1, "old", "e"), CoveredRange(TOPIC, "L", 0, 1, 4, 3, "new", "e")]
    after = [LogPartition(TOPIC, "L", 0, 0, 4)]
    (found, *_) = audit(Names(), lake, Stages(logs, covered, set(), Acknowledged.empty_table(), after))
    assert (found.missing, found.doubled) == ([], [])
    assert lake.looks == looks - LOOKS, "an audit looks so often"
