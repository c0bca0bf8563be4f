"""The life of one query."""

import itertools
import math
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pyspark.errors import PySparkException
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy
from stream_reader.fakes import FakeLaunch, FakeRunning, FakeStreams, log_id
from stream_reader.metrics import Metrics
from stream_reader.query import Limits, StreamQuery
from stream_reader.stopped import StoppedQueries

STREAM = "streaming-x-pin"
OLD, NEW = log_id(STREAM, 1.0), log_id(STREAM, 2.0)


class Bench:
    """One query over fakes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.streams = FakeStreams(**{STREAM: 1.0})
        self.launch = FakeLaunch()
        self.registry = CollectorRegistry()
        self.query = self.made(self.registry)

    def made(self, registry: CollectorRegistry) -> StreamQuery:
        retries = RetryPolicy(math.inf, 1.0, 30.0, clock=self.clock, uniform=lambda _low, high: high)
        return StreamQuery(
            "pin",
            stream=STREAM,
            streams=self.streams,
            launch=self.launch,
            stopped=StoppedQueries(self.folder),
            retries=retries,
            limits=Limits(describe_interval_s=5, lag_limit_s=60, close_s=5),
            metrics=Metrics(registry),
        )

    def steps(self, seconds: float = 0.0) -> None:
        """Look after it now, and each second for a while."""
        self.query.step()
        for _ in range(round(seconds)):
            self.clock.sleep(1)
            self.query.step()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_starts_and_is_fine(bench: Bench) -> None:
    assert (bench.query.state, bench.query.problem()) == ("starting", "not started yet")
    bench.steps(20)
    assert bench.launch.started == [("pin", OLD)]
    assert (bench.query.state, bench.query.problem()) == ("running", None)
    assert bench.registry.get_sample_value("stream_reader_query_state", {"kind": "pin", "state": "running"}) == 1


def test_it_is_not_running_before_it_has_looked_at_its_stream(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeRunning, "lastProgress", None)
    bench.steps(5)
    assert (bench.query.state, bench.query.problem()) == ("starting", "has not looked at its stream yet")
    monkeypatch.setattr(FakeRunning, "lastProgress", {})
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
    assert bench.query.problem() == "Return Message: Traceback (most recent call last):\nOSError: no space"


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


def test_rejects_stop_it_over_restarts_until_a_person_resumes_it(bench: Bench) -> None:
    bench.steps()
    bench.launch.writer.progress.too_many_rejects = "600 of the last 1000"
    bench.steps()
    assert bench.query.state == "stopped"
    assert not bench.launch.query.isActive
    bench.query = bench.made(CollectorRegistry())
    bench.steps(600)
    assert len(bench.launch.started) == 1
    assert bench.query.problem() == "stopped since 2026-01-01T00:00:00+00:00: 600 of the last 1000"
    assert bench.query.resume()
    bench.steps()
    assert (bench.query.state, bench.query.problem()) == ("running", None)
    assert not bench.query.resume()
    bench.query = bench.made(CollectorRegistry())
    bench.steps()
    assert bench.query.state == "running"


def test_a_query_that_ends_for_its_rejects_before_it_is_looked_after_is_stopped(bench: Bench) -> None:
    bench.steps()
    bench.launch.writer.progress.too_many_rejects = "too many"
    bench.launch.query.fail(PySparkException("refused the next batch"))
    bench.steps(120)
    assert bench.query.state == "stopped"
    assert len(bench.launch.started) == 1


def test_lag_is_the_last_batchs_until_nothing_waits(bench: Bench) -> None:
    bench.steps()
    bench.launch.writer.progress.lag_ms = 70_000
    bench.steps(61)
    assert bench.query.problem() == "70 s behind, and not catching up (limit 60 s)"
    bench.launch.query.available = False
    bench.steps()
    assert (bench.query.lag_ms, bench.query.problem()) == (0, None)


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
