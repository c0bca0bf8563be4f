"""The life of one query."""

import itertools
import math

import pytest
from prometheus_client import CollectorRegistry
from pyspark.errors import PySparkException
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy
from stream_reader.failures import TableError
from stream_reader.fake_streams import FakeStreams, log_id
from stream_reader.fakes import FakeLaunch
from stream_reader.metrics import Metrics
from stream_reader.query import Limits, StreamQuery
from stream_reader.rejects import RejectWindow

STREAM = "streaming-x-pin"
OLD, NEW = log_id(STREAM, 1.0), log_id(STREAM, 2.0)


class Bench:
    """One query over fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.rejects = RejectWindow(1_000, 0.5, self.clock)
        self.streams = FakeStreams(**{STREAM: 1.0})
        self.launch = FakeLaunch(self.clock)
        self.registry = CollectorRegistry()
        retries = RetryPolicy(math.inf, 1.0, 30.0, clock=self.clock, uniform=lambda _low, high: high)
        self.query = StreamQuery(
            "pin",
            stream=STREAM,
            streams=self.streams,
            launch=self.launch,
            rejects=self.rejects,
            retries=retries,
            limits=Limits(describe_interval_s=5, lag_limit_s=60, close_s=5),
            metrics=Metrics(self.registry),
        )

    def steps(self, seconds: float = 0.0) -> None:
        """Look after it now, and each second for a while."""
        self.query.step()
        for _ in range(round(seconds)):
            self.clock.sleep(1)
            self.query.step()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_starts_and_is_fine(bench: Bench) -> None:
    assert (bench.query.state, bench.query.problem()) == ("starting", "not started yet")
    bench.steps(20)
    assert bench.launch.started == [("pin", OLD)]
    assert (bench.query.state, bench.query.problem()) == ("running", None)
    assert bench.registry.get_sample_value("stream_reader_query_state", {"kind": "pin", "state": "running"}) == 1


def test_it_is_not_running_before_it_has_looked_at_its_stream(bench: Bench) -> None:
    bench.launch.looks = False
    bench.steps(5)
    assert (bench.query.state, bench.query.problem()) == ("starting", "has not looked at its stream yet")
    bench.launch.query.looks = True
    bench.steps()
    assert (bench.query.state, bench.query.problem()) == ("running", None)


def test_a_stream_that_is_not_there_yet_is_waited_for(bench: Bench) -> None:
    created = bench.streams.created.pop(STREAM)
    bench.steps(5)
    assert (bench.query.state, bench.query.problem()) == ("failed", f"there is no stream {STREAM}")
    bench.streams.created[STREAM] = created
    bench.steps(5)
    assert bench.query.problem() is None


def test_failures_are_tried_again_with_waits_that_grow_to_a_bound(bench: Bench) -> None:
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


def test_a_query_that_ran_well_is_started_again_soon(bench: Bench) -> None:
    for _ in range(5):
        bench.steps(70)
        bench.launch.query.fail(PySparkException("lost"))
        bench.steps()
        assert (bench.query.state, bench.query.problem()) == ("failed", "lost")
    bench.steps(1)
    assert bench.query.state == "running"
    assert len(bench.launch.started) == 6


def test_a_problem_is_told_in_the_failure_s_words_not_its_frames(bench: Bench) -> None:
    """As Spark hands on what a batch raised."""
    bench.steps()
    frame = '  File "reader.py", line 1, in call\n    self.func(batch)\n    ~~~^^^^\n'
    told = f"Return Message: Traceback (most recent call last):\n{frame * 9}OSError: no space\n\n\tat py4j.Protocol"
    bench.launch.query.fail(PySparkException(told))
    bench.steps()
    assert bench.query.problem() == "Return Message: OSError: no space"


def test_records_that_are_lost_are_told_with_the_setting_that_goes_on(bench: Bench) -> None:
    bench.steps()
    bench.launch.query.fail(PySparkException("kinesis_source.errors.DataLossError: shard s: it has expired"))
    bench.steps()
    told = bench.query.problem() or ""
    assert told.startswith("kinesis_source.errors.DataLossError: shard s: it has expired (to continue without these")
    assert "STREAM_READER_FAIL_ON_DATA_LOSS=false" in told


def test_a_stream_made_anew_is_noticed_without_a_batch(bench: Bench) -> None:
    bench.steps(5)
    first = bench.launch.writer
    bench.streams.created[STREAM] = 2.0
    bench.steps(6)
    assert first.closed
    assert bench.launch.started == [("pin", OLD), ("pin", NEW)]
    assert bench.registry.get_sample_value("stream_reader_streams_replaced_total", {"kind": "pin"}) == 1
    assert bench.query.described()["restarts"] == 0


def test_a_batch_that_was_refused_for_it_goes_over_at_once(bench: Bench) -> None:
    bench.steps()
    bench.streams.created[STREAM] = 2.0
    bench.launch.writer.progress.replaced = True
    bench.launch.query.fail(PySparkException("refused"))
    bench.steps()
    bench.steps()
    assert bench.launch.started[-1] == ("pin", NEW)
    assert bench.query.problem() is None


def test_kinesis_away_is_a_problem_but_no_reason_to_stop(bench: Bench) -> None:
    bench.steps()
    bench.streams.away = True
    bench.steps(6)
    assert (bench.query.state, bench.query.problem()) == ("running", "Kinesis is away")
    bench.streams.away = False
    bench.steps(6)
    assert bench.query.problem() is None
    assert len(bench.launch.started) == 1


def test_rejects_are_a_problem_beside_the_others_and_stop_nothing(bench: Bench) -> None:
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


def test_lag_is_the_last_batchs_until_nothing_waits(bench: Bench) -> None:
    bench.steps()
    bench.launch.writer.progress.lag_ms = 70_000
    bench.steps(61)
    assert bench.query.problem() == "70 s behind, and not catching up (limit 60 s)"
    bench.launch.query.available = False
    bench.steps()
    assert (bench.query.lag_ms, bench.query.problem()) == (0, None)


def test_a_batch_that_hangs_is_a_problem(bench: Bench) -> None:
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


def test_a_source_that_hangs_is_a_problem(bench: Bench) -> None:
    """Nothing comes to a batch, and Spark tells of no look at the source."""
    bench.steps(5)
    bench.launch.query.looks = bench.launch.query.available = False
    bench.steps(14)
    assert bench.query.lag_ms == 0
    bench.steps(50)
    assert (bench.query.problem() or "").startswith("hangs")


def test_empty_answers_far_from_the_tip_are_lag(bench: Bench) -> None:
    bench.steps(5)
    bench.launch.query.available = False
    bench.launch.query.behind_ms = 3_600_000
    bench.steps(62)
    assert bench.query.lag_ms == 3_600_000
    assert bench.query.problem() == "3600 s behind, and not catching up (limit 60 s)"
    bench.launch.query.behind_ms = 0
    bench.steps(2)
    assert (bench.query.lag_ms, bench.query.problem()) == (0, None)


def test_a_query_that_ends_again_and_again_is_never_well_in_between(bench: Bench) -> None:
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


def test_lag_goes_on_while_a_query_fails_until_every_shard_answers_again(bench: Bench) -> None:
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


def test_kinesis_that_comes_back_makes_it_well_at_once(bench: Bench) -> None:
    bench.steps(5)
    bench.launch.query.fail(PySparkException("no answer"))
    bench.streams.away = True
    bench.steps(90)
    assert bench.query.problem() == "Kinesis is away"
    bench.streams.away = False
    bench.steps(31)
    assert bench.query.problem() is None


def test_tables_that_are_lost_make_it_begin_anew(bench: Bench) -> None:
    bench.steps(5)
    first = bench.launch.writer
    first.lost_table = "the table t was lost or recreated"
    bench.steps(6)
    assert first.closed
    assert bench.launch.started == [("pin", OLD)] * 2
    assert (bench.query.described()["restarts"], bench.query.problem()) == (0, None)


def test_a_table_that_cannot_be_used_is_named_with_the_remedy(bench: Bench) -> None:
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


def test_counts_go_on_over_restarts(bench: Bench) -> None:
    for _ in range(2):
        bench.steps(5)
        progress = bench.launch.writer.progress
        progress.seen, progress.rejected = 10, 3
        bench.launch.query.fail(None)
        bench.steps(5)
    described = bench.query.described()
    assert (described["records"], described["rejected"], described["restarts"]) == (20, 6, 2)


def test_closing_ends_it(bench: Bench) -> None:
    assert bench.query.close(1)
    bench.steps()
    assert bench.query.close(1)
    assert bench.launch.writer.closed
    assert not bench.launch.query.isActive
