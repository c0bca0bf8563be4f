"""Lag, latencies, what waits for the popularity, settings."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from pydantic import ValidationError
from pyspark.errors import PySparkException
from service_kit.clock import ManualClock
from stream_reader.lake.failures import brief
from stream_reader.latency import KEPT, Latencies
from stream_reader.popularity.arrivals import Arrivals, Rows
from stream_reader.queries.checkpoints import checkpoint_folder
from stream_reader.queries.lag import LagWatch
from stream_reader.rehearsal import try_rehearsal
from stream_reader.settings import Settings


def test_a_query_that_catches_up_is_fine() -> None:
    clock = ManualClock()
    watch = LagWatch(60, clock)
    for lag_s in (3_600, 3_000, 2_000, 1_000, 100):
        watch.observe(lag_s * 1000)
        assert watch.problem(lag_s * 1000) is None
        clock.sleep(61)


def test_a_query_that_cannot_keep_up_is_not() -> None:
    clock = ManualClock()
    watch = LagWatch(60, clock)
    for lag_s in (70, 100, 129):
        watch.observe(lag_s * 1000)
        assert watch.problem(lag_s * 1000) is None
        clock.sleep(29)
    watch.observe(160_000)
    assert watch.problem(160_000) == "160 s behind, and not catching up (limit 60 s)"
    watch.observe(0)
    assert watch.problem(0) is None


def latencies() -> Latencies:
    return Latencies(Histogram("seconds", "of a test", registry=CollectorRegistry()))


def test_no_latency_yet() -> None:
    assert latencies().described() == {"count": 0, "p50_ms": None, "p95_ms": None}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_values_that_this_share_does_not_exceed(values: list[float]) -> None:
    kept = latencies()
    kept.add(values)
    told = kept.described()
    for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95)):
        below = [value for value in values if value <= told[name] + 0.051]
        under = [value for value in values if value < told[name] - 0.051]
        assert len(below) >= share * len(values)
        assert len(under) < share * len(values)


def test_only_the_last_latencies_count() -> None:
    kept = latencies()
    kept.add([1e6] * 100)
    kept.add([1.0] * KEPT)
    assert kept.described() == {"count": KEPT + 100, "p50_ms": 1.0, "p95_ms": 1.0}


def test_what_is_handed_over_is_taken_once() -> None:
    arrivals = Arrivals(1_000)
    first, second = pa.table({"ind": [1, 2]}), pa.table({"ind": [2, 3]})
    arrivals.add("pin", first, [5.0], now=10.0)
    arrivals.add("geo", second, [6.0], now=11.0)
    assert arrivals.wait(0)
    assert arrivals.waiting_since() == 10.0
    taken = arrivals.take()
    assert taken == Rows([("pin", first), ("geo", second)], arrived_ms=[5.0, 6.0], since=10.0)
    assert arrivals.take() == Rows()
    assert arrivals.waiting_since() is None
    assert not arrivals.wait(0)
    arrivals.add("user", first, [], now=12.0)
    arrivals.put_back(taken)
    assert [kind for kind, _ in arrivals.take().tables] == ["pin", "geo", "user"]


def test_of_too_much_it_is_known_that_it_is_missing() -> None:
    rows = pa.table({"ind": [1, 2, 3]})
    arrivals = Arrivals(rows.nbytes)
    arrivals.add("pin", rows, [1.0] * 9, now=1.0)
    arrivals.put_back(arrivals.take())
    assert not arrivals.take().incomplete
    for _ in range(2):
        arrivals.add("pin", rows, [1.0] * 9, now=2.0)
    arrivals.add("pin", rows, [], now=3.0)
    taken = arrivals.take()
    assert (taken.incomplete, taken.tables, taken.since, len(taken.arrived_ms)) == (True, [], 2.0, 18)


def test_each_stream_has_a_checkpoint_of_its_own() -> None:
    log_id = "arn:aws:kinesis:us-east-1:000000000000:stream/streaming-x-pin@"
    folders = {checkpoint_folder(Path("/s"), "pin", f"{log_id}{created}") for created in (1, 2)}
    assert folders == {Path("/s/checkpoints/pin/1"), Path("/s/checkpoints/pin/2")}


def test_the_scratch_folder_is_one_of_the_state_folder() -> None:
    settings = Settings.model_validate({"LAKE_URI": "file:///lake", "state_dir": "/s"})
    assert settings.session().scratch_dir == Path("/s/scratch")


@pytest.mark.parametrize("more", [{"reject_ratio": 1.0}, {"half_life_s": 0}, {"PIPELINE_ID": "Not-One"}])
def test_settings_that_cannot_be(more: dict[str, Any]) -> None:
    good: dict[str, Any] = {"LAKE_URI": "file:///lake", "state_dir": Path("/s")}
    assert Settings(**good).names.stream_table("pin") == "pinterest_pin_table"
    with pytest.raises(ValidationError):
        Settings(**{**good, **more})


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PySparkException("no"), DeltaError("no")])
def test_a_rehearsal_that_fails_stops_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise error

    try_rehearsal(fail)
    assert [record.getMessage() for record in caplog.records] == ["the first batch could not be rehearsed"]


@pytest.mark.parametrize(
    ("message", "told"), [("one\ntwo", "one"), ("", "OSError"), (" \n", "OSError"), ("x" * 600, "x" * 500)]
)
def test_a_failure_in_one_line(message: str, told: str) -> None:
    assert brief(OSError(message)) == told
