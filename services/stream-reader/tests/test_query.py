"""The life of one query."""

import itertools

import pytest
from pyspark.errors import PySparkException
from query_bench import NEW, OLD, STREAM, QueryBench
from stream_reader.lake.failures import TableError


@pytest.fixture
def bench() -> QueryBench:
    return QueryBench()


def test_it_starts_and_is_fine(bench: QueryBench) -> None:
    assert (bench.query.state, bench.query.problem()) == ("starting", "not started yet")
    bench.steps(20)
    assert bench.launch.started == [("pin", OLD)]
    assert (bench.query.state, bench.query.problem()) == ("running", None)
    assert bench.registry.get_sample_value("stream_reader_query_state", {"kind": "pin", "state": "running"}) == 1


def test_it_is_not_running_before_it_has_looked_at_its_stream(bench: QueryBench) -> None:
    bench.launch.looks = False
    bench.steps(5)
    assert (bench.query.state, bench.query.problem()) == ("starting", "has not looked at its stream yet")
    bench.launch.query.looks = True
    bench.steps()
    assert (bench.query.state, bench.query.problem()) == ("running", None)


def test_a_stream_that_is_not_there_yet_is_waited_for(bench: QueryBench) -> None:
    created = bench.streams.created.pop(STREAM)
    bench.steps(5)
    assert (bench.query.state, bench.query.problem()) == ("failed", f"there is no stream {STREAM}")
    bench.streams.created[STREAM] = created
    bench.steps(5)
    assert bench.query.problem() is None


def test_failures_are_tried_again_with_waits_that_grow_to_a_bound(bench: QueryBench) -> None:
    bench.launch.fails = PySparkException("no")
    tries = []
    for _ in range(600):
        before = bench.query.described()["restarts"]
        bench.steps()
        if bench.query.described()["restarts"] > before:
            tries.append(bench.clock.monotonic())
        bench.clock.sleep(0.5)
    waits = [after - before for before, after in itertools.pairwise(tries)]
    assert waits[:6] == [1, 2, 4, 8, 16, 30]
    assert set(waits[6:]) == {30}
    assert bench.query.problem() == "no"


def test_a_query_that_ran_well_is_started_again_soon(bench: QueryBench) -> None:
    for _ in range(5):
        bench.steps(70)
        bench.launch.query.fail(PySparkException("lost"))
        bench.steps()
        assert (bench.query.state, bench.query.problem()) == ("failed", "lost")
    bench.steps(1)
    assert bench.query.state == "running"
    assert len(bench.launch.started) == 6


def test_a_stream_made_anew_is_noticed_without_a_batch(bench: QueryBench) -> None:
    bench.steps(5)
    first = bench.launch.writer
    bench.streams.created[STREAM] = 2.0
    bench.steps(6)
    assert first.closed
    assert bench.launch.started == [("pin", OLD), ("pin", NEW)]
    assert bench.registry.get_sample_value("stream_reader_streams_replaced_total", {"kind": "pin"}) == 1
    assert bench.query.described()["restarts"] == 0


def test_a_batch_that_was_refused_for_it_goes_over_at_once(bench: QueryBench) -> None:
    bench.steps()
    bench.streams.created[STREAM] = 2.0
    bench.launch.writer.progress.replaced = True
    bench.launch.query.fail(PySparkException("refused"))
    bench.steps()
    bench.steps()
    assert bench.launch.started[-1] == ("pin", NEW)
    assert bench.query.problem() is None


def test_kinesis_away_is_a_problem_but_no_reason_to_stop(bench: QueryBench) -> None:
    bench.steps()
    bench.streams.away = True
    bench.steps(6)
    assert (bench.query.state, bench.query.problem()) == ("running", "Kinesis is away")
    bench.streams.away = False
    bench.steps(6)
    assert bench.query.problem() is None
    assert len(bench.launch.started) == 1


def test_kinesis_that_comes_back_makes_it_well_at_once(bench: QueryBench) -> None:
    bench.steps(5)
    bench.launch.query.fail(PySparkException("no answer"))
    bench.streams.away = True
    bench.steps(90)
    assert bench.query.problem() == "Kinesis is away"
    bench.streams.away = False
    bench.steps(31)
    assert bench.query.problem() is None


def test_tables_that_are_lost_make_it_begin_anew(bench: QueryBench) -> None:
    bench.steps(5)
    first = bench.launch.writer
    first.lost_table = "the table t was lost or recreated"
    bench.steps(6)
    assert first.closed
    assert bench.launch.started == [("pin", OLD)] * 2
    assert (bench.query.described()["restarts"], bench.query.problem()) == (0, None)


def test_a_table_that_cannot_be_used_is_named_with_the_remedy(bench: QueryBench) -> None:
    bench.steps(5)
    bench.launch.writer.fails = TableError("stream/x", OSError("cut"))
    bench.steps(6)
    told = bench.query.problem() or ""
    assert told.startswith(
        "the table stream/x cannot be used: cut (if it is damaged, put its folder back from a copy; or"
    )
    assert "\n" not in told
    bench.launch.fails = bench.launch.writer.fails
    bench.launch.query.fail(PySparkException("x"))
    bench.steps(120)
    assert bench.query.problem() == told
    bench.launch.fails = None
    bench.steps(31)
    assert bench.query.problem() is None


def test_counts_go_on_over_restarts(bench: QueryBench) -> None:
    for _ in range(2):
        bench.steps(5)
        progress = bench.launch.writer.progress
        progress.seen, progress.rejected = 10, 3
        bench.launch.query.fail(None)
        bench.steps(5)
    described = bench.query.described()
    assert (described["records"], described["rejected"], described["restarts"]) == (20, 6, 2)


def test_closing_ends_it(bench: QueryBench) -> None:
    assert bench.query.close(1)
    bench.steps()
    assert bench.query.close(1)
    assert bench.launch.writer.closed
    assert not bench.launch.query.isActive
