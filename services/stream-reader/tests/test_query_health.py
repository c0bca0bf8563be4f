"""What a query says of its health: lag, hangs, failures, rejected records."""

import pytest
from pyspark.errors import PySparkException
from query_bench import STREAM, QueryBench


@pytest.fixture
def bench() -> QueryBench:
    return QueryBench()


def test_a_problem_is_told_in_the_failure_s_words_not_its_frames(bench: QueryBench) -> None:
    """As Spark hands on what a batch raised."""
    bench.steps()
    frame = '  File "reader.py", line 1, in call\n    self.func(batch)\n    ~~~^^^^\n'
    told = f"Return Message: Traceback (most recent call last):\n{frame * 9}OSError: no space\n\n\tat py4j.Protocol"
    bench.launch.query.fail(PySparkException(told))
    bench.steps()
    assert bench.query.problem() == "Return Message: OSError: no space"


def test_of_a_chain_of_failures_the_last_one_is_told(bench: QueryBench) -> None:
    """It names the shard."""
    bench.steps()
    frames = 'Traceback (most recent call last):\n  File "x.py", line 1\n'
    chain = [
        "msgspec.ValidationError: no field",
        "\nDuring handling of the above exception, another exception occurred:\n",
        f"{frames}envelope.NotAnAnswerError: no number",
        "\nThe above exception was the direct cause of the following exception:\n",
        f"{frames}UnavailableError: shard s: no records: no number\n2nd line",
    ]
    bench.launch.query.fail(PySparkException(f"Failed in latestOffset: {frames}" + "\n".join(chain)))
    bench.steps()
    assert bench.query.problem() == "Failed in latestOffset: UnavailableError: shard s: no records: no number 2nd line"


def test_records_that_are_lost_are_told_with_the_setting_that_goes_on(bench: QueryBench) -> None:
    bench.steps()
    bench.launch.query.fail(PySparkException("kinesis_source.errors.DataLossError: shard s: it has expired"))
    bench.steps()
    told = bench.query.problem() or ""
    assert told.startswith("kinesis_source.errors.DataLossError: shard s: it has expired (to continue without these")
    assert "STREAM_READER_FAIL_ON_DATA_LOSS=false" in told


def test_rejects_are_a_problem_beside_the_others_and_stop_nothing(bench: QueryBench) -> None:
    bench.steps()
    bench.rejects.add(1_000, {"not_json": 600})
    bench.steps(600)
    assert bench.query.state == "running"
    assert (bench.query.problem() or "").startswith("600 of the last 1000 records were rejected, 600 of them as not")
    assert bench.registry.get_sample_value("stream_reader_rejected_share", {"kind": "pin"}) == 0.6
    bench.streams.away = True
    bench.steps(6)
    assert (bench.query.problem() or "").startswith("Kinesis is away; 600 of the last 1000 records were rejected")
    bench.streams.away = False
    bench.rejects.add(1_000, {})
    bench.steps(6)
    assert bench.query.problem() is None
    assert len(bench.launch.started) == 1


def test_lag_is_the_last_batchs_until_nothing_waits(bench: QueryBench) -> None:
    bench.steps()
    bench.launch.writer.progress.lag_ms = 70_000
    bench.steps(61)
    assert bench.query.problem() == "70 s behind, and not catching up (limit 60 s)"
    bench.launch.query.available = False
    bench.steps()
    assert (bench.query.lag_ms, bench.query.problem()) == (0, None)


def test_a_batch_that_hangs_is_a_problem(bench: QueryBench) -> None:
    bench.steps(5)
    bench.launch.query.looks = False
    bench.launch.writer.progress.began_at = bench.clock.monotonic()
    bench.steps(30)
    assert bench.query.lag_ms == 30_000
    assert bench.query.problem() is None
    bench.steps(40)
    told = "hangs: nothing was read and stored for 70 s; if this stays, restart the stream reader"
    assert (bench.query.lag_ms, bench.query.problem()) == (70_000, told)
    bench.launch.writer.progress.began_at = None
    bench.launch.query.looks, bench.launch.query.available = True, False
    bench.steps(2)
    assert (bench.query.lag_ms, bench.query.problem()) == (0, None)


def test_a_source_that_hangs_is_a_problem(bench: QueryBench) -> None:
    """Nothing comes to a batch, and Spark tells of no look at the source."""
    bench.steps(5)
    bench.launch.query.looks = bench.launch.query.available = False
    bench.steps(14)
    assert bench.query.lag_ms == 0
    bench.steps(50)
    assert (bench.query.problem() or "").startswith("hangs")


def test_empty_answers_far_from_the_tip_are_lag(bench: QueryBench) -> None:
    bench.steps(5)
    bench.launch.query.available = False
    bench.launch.query.behind_ms = 3_600_000
    bench.steps(62)
    assert bench.query.lag_ms == 3_600_000
    assert bench.query.problem() == "3600 s behind, and not catching up (limit 60 s)"
    bench.launch.query.behind_ms = 0
    bench.steps(2)
    assert (bench.query.lag_ms, bench.query.problem()) == (0, None)


def test_a_query_that_ends_again_and_again_is_never_well_in_between(bench: QueryBench) -> None:
    """Each time it looks at its stream, reads the other shards, and ends 16 s later."""
    for number in range(10):
        bench.steps(1)
        while bench.query.state != "running":
            bench.steps(1)
        for _ in range(16):
            bench.steps(1)
            told = bench.query.problem()
            assert told == (None if number < 2 else f"runs again after {number} failures, the last one: not decoded")
        bench.launch.query.fail(PySparkException("not decoded"))
        bench.steps()
        assert bench.query.problem() == "not decoded"
    bench.steps(32)
    assert bench.query.problem() is not None
    bench.steps(62)
    assert bench.query.problem() is None


def test_lag_goes_on_while_a_query_fails_until_every_shard_answers_again(bench: QueryBench) -> None:
    """A shard that answers nothing readable: the query reads the others, ends, and is started again."""
    bench.steps(5)
    bench.launch.query.behind_ms, bench.launch.query.available = 2_000, False
    bench.steps(2)
    failed_at = bench.clock.monotonic()
    for _ in range(20):
        bench.launch.query.fail(PySparkException("not an answer of GetRecords"))
        bench.steps()
        assert "not an answer" in (bench.query.problem() or "")
        bench.launch.looks = False
        while bench.query.state == "failed":
            bench.steps(1)
        assert (bench.query.problem() or "").endswith("yet; before, it failed: not an answer of GetRecords")
        bench.launch.query.looks, bench.launch.query.unanswered = True, 1
        bench.launch.query.available = False
        bench.steps(5)
        late_s = bench.clock.monotonic() - failed_at + 2
        assert bench.query.lag_ms == 1_000 * late_s
        assert bench.registry.get_sample_value("stream_reader_lag_milliseconds", {"kind": "pin"}) == 1_000 * late_s
    bench.launch.query.unanswered = 0
    bench.steps(2)
    assert bench.query.lag_ms == 0
    bench.streams.created.pop(STREAM)
    bench.steps(6)
    bench.launch.query.fail(None)
    bench.steps(100)
    assert bench.query.lag_ms >= 100_000
