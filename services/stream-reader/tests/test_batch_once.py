"""A batch is written once, whatever cuts it off, and of its own stream alone."""

from pathlib import Path
from typing import Any

import pytest
from batch_bench import NAMES, PIN, BatchBench
from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pyspark.sql import SparkSession
from stream_reader.queries.batch import ClosingError, StreamReplacedError
from stream_reader.queries.fake_streams import log_id
from stream_reader.queries.known import Held, Known
from stream_reader.queries.streams import StreamError

pytestmark = pytest.mark.spark


@pytest.fixture
def bench(spark: SparkSession, tmp_path: Path) -> BatchBench:
    return BatchBench(spark, tmp_path)


def places(rows: list[dict[str, Any]]) -> list[str]:
    return sorted((row["offset"] for row in rows), key=int)


@pytest.mark.parametrize("stage", [STREAM_QUARANTINE, stream_table(NAMES, "pin")])
def test_cut_off_between_two_appends_and_repeated(bench: BatchBench, stage: str) -> None:
    class CutOffError(Exception):
        pass

    def cut(at: str) -> None:
        if at == stage:
            raise CutOffError

    frame = bench.frame(PIN, b"x")
    with pytest.raises(CutOffError):
        bench.made(at=cut)(frame, 3)
    bench.arrivals.take()
    repeated = bench.made()
    # Nothing is left out by its coordinate here: that is for another query's records.
    repeated.begun.known = Known(Held(bench.tables, (), bench.log_id), {})
    repeated(frame, 3)
    assert places(bench.good()) == ["1"]
    assert places(bench.bad()) == ["2"]
    assert [rows["ind"].to_pylist() for _, rows in bench.arrivals.take().tables] == [[7]]


def test_a_new_checkpoint_repeats_nothing_and_skips_nothing(bench: BatchBench) -> None:
    """Batch numbers begin at 0 again, and batches are cut in other places."""
    values = [{**PIN, "index": number} if number % 3 else b"bad" for number in range(12)]
    bench.writer(bench.frame(*values[:5]), 0)
    bench.writer(bench.frame(*values[5:9]), 1)
    bench.number = 0
    again = bench.made("another query")
    for number, part in enumerate((values[:2], values[2:7], values[7:11], values[11:])):
        again(bench.frame(*part), number)
    assert places(bench.good()) == [str(number + 1) for number in range(12) if number % 3]
    assert places(bench.bad()) == [str(number + 1) for number in range(12) if number % 3 == 0]


def test_a_part_of_a_batch_that_was_stored_is_left_out_alone(bench: BatchBench) -> None:
    """Killed after the good rows: the bad ones of the same batch have no fate yet."""
    frame = bench.frame(PIN, b"x", {**PIN, "index": 8})
    bench.writer(frame, 0)
    bench.tables.make_anew(STREAM_QUARANTINE)
    bench.made("another query")(frame, 0)
    assert places(bench.good()) == ["1", "3"]
    assert places(bench.bad()) == ["2"]


def test_nothing_is_written_of_a_stream_that_was_made_anew(bench: BatchBench) -> None:
    bench.streams.created[bench.stream] = 2.0
    with pytest.raises(StreamReplacedError):
        bench.writer(bench.frame(PIN), 0)
    assert bench.writer.progress.replaced
    assert bench.tables.appends == []
    bench.number = 0
    bench.made("q2")(bench.frame(PIN), 0)
    bench.streams.created[bench.stream] = 3.0
    bench.number = 0
    bench.made("q3")(bench.frame(PIN), 0)
    assert [row["log_id"] for row in bench.good()] == [log_id(bench.stream, made) for made in (2.0, 3.0)]


def test_nothing_is_written_while_nobody_knows_which_stream_it_is(bench: BatchBench) -> None:
    bench.streams.away = True
    with pytest.raises(StreamError):
        bench.writer(bench.frame(PIN), 0)
    assert bench.tables.appends == []


def test_the_stream_is_described_again_before_the_batch_fails(bench: BatchBench) -> None:
    """All who describe streams share 20 calls a second."""
    bench.streams.away_for = 3
    bench.writer(bench.frame(PIN), 0)
    assert places(bench.good()) == ["1"]
    bench.streams.away_for = 1_000
    began = bench.clock.monotonic()
    with pytest.raises(StreamError):
        bench.writer(bench.frame(PIN), 1)
    assert 14 <= bench.clock.monotonic() - began <= 16


def test_a_closed_writer_begins_no_batch(bench: BatchBench) -> None:
    assert bench.writer.close(1)
    with pytest.raises(ClosingError):
        bench.writer(bench.frame(PIN), 0)
