"""What the Overview shows of a lake that grows, is damaged, and is mended."""

from pathlib import Path

import pyarrow as pa
import pytest
from dashboard.lake.reader import LakeReader
from dashboard.lake.watch import LakeWatch, NotTaken
from delta_tables import write, write_answers, write_run
from pipeline_contracts.lake import EVENTS, QUARANTINE, RUNS, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import Names
from service_kit.clock import ManualClock

HELD = {"reason": pa.string(), "source": pa.string()}


@pytest.fixture
def watch(tmp_path: Path) -> LakeWatch:
    return LakeWatch(LakeReader(tmp_path.as_uri()), Names(), ManualClock())


def states(watch: LakeWatch) -> tuple[str, str, str]:
    watch.look()
    return watch.not_taken().state, watch.stream_rows().state, watch.run().state


def test_an_empty_lake_says_what_fills_it(watch: LakeWatch) -> None:
    assert watch.not_taken().state == "loading"
    assert states(watch) == ("empty", "empty", "empty")
    assert [block.fills for block in (watch.not_taken(), watch.stream_rows(), watch.run())] == [
        "pipeline send --path both",
        "pipeline send --path stream",
        "pipeline analyse",
    ]


def test_totals_and_the_newest_run(watch: LakeWatch, tmp_path: Path) -> None:
    write(tmp_path / QUARANTINE, HELD, [["bad", "record"], ["bad", "dead_letter"], ["torn", "object"]])
    write(tmp_path / STREAM_QUARANTINE, HELD, [["bad", "record"]])
    write(tmp_path / stream_table(Names(), "pin"), HELD, [["", ""]] * 3)
    write(tmp_path / stream_table(Names(), "geo"), HELD, [["", ""]] * 4)
    write_answers(tmp_path, {}, 1, posts=5)
    assert states(watch) == ("fresh", "fresh", "fresh")
    assert (watch.not_taken().known, watch.stream_rows().known) == (NotTaken(batch=2, stream=1, dead_letters=1), 7)
    assert (watch.run().known.run_id, watch.run().known.posts) == ("run-1", 5)
    write_run(tmp_path, "run-2", 2, {}, {})
    watch.look()
    assert watch.run().known.run_id == "run-2"


def test_how_many_records_of_each_path_the_lake_holds(watch: LakeWatch, tmp_path: Path) -> None:
    assert watch.records() == {"batch": None, "stream": None}
    watch.look()
    assert watch.records() == {"batch": 0, "stream": 0}
    write(tmp_path / EVENTS, HELD, [["", ""]] * 5)
    write(tmp_path / QUARANTINE, HELD, [["bad", "record"]])  # one of the five
    write(tmp_path / STREAM_QUARANTINE, HELD, [["bad", "record"]])
    write(tmp_path / stream_table(Names(), "geo"), HELD, [["", ""]] * 4)
    watch.look()
    assert watch.records() == {"batch": 5, "stream": 5}
    (tmp_path / EVENTS / "_delta_log" / "00000000000000000000.json").write_bytes(b"{ nonsense")
    watch.look()
    assert watch.records() == {"batch": None, "stream": 5}


@pytest.mark.parametrize(("table", "damaged"), [(QUARANTINE, 0), (stream_table(Names(), "pin"), 1), (RUNS, 2)])
def test_a_damaged_table_leaves_its_last_value_and_the_others(
    watch: LakeWatch, tmp_path: Path, table: str, damaged: int
) -> None:
    write(tmp_path / QUARANTINE, HELD, [["bad", "record"]])
    write(tmp_path / stream_table(Names(), "pin"), HELD, [["", ""]])
    write_answers(tmp_path, {}, 1)
    assert states(watch) == ("fresh", "fresh", "fresh")
    before = watch.not_taken().known, watch.stream_rows().known, watch.run().known
    log = tmp_path / table / "_delta_log" / "00000000000000000000.json"
    kept = log.read_bytes()
    log.write_bytes(b"{ nonsense")
    assert states(watch) == tuple("stale" if at == damaged else "fresh" for at in range(3))
    assert (watch.not_taken().known, watch.stream_rows().known, watch.run().known) == before
    assert table in (watch.not_taken(), watch.stream_rows(), watch.run())[damaged].why
    log.write_bytes(kept)
    assert states(watch) == ("fresh", "fresh", "fresh")
