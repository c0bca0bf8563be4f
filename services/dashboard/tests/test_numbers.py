"""What is kept of Prometheus text."""

import pytest
from dashboard.live.numbers import PROXY, S3_SINK, STREAM_READER, Taken, taken
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest


def test_counters_are_summed_and_gauges_the_greatest() -> None:
    text = (
        '# TYPE s3_sink_records counter\ns3_sink_records_total{topic="a"} 3\ns3_sink_records_total{topic="b"} 4\n'
        's3_sink_oldest_unarchived_seconds{topic="a"} 1.5\ns3_sink_oldest_unarchived_seconds{topic="b"} 9\n'
        's3_sink_lag_records{topic="a",partition="0"} 3\ns3_sink_lag_records{topic="a",partition="1"} NaN\n'
    )
    numbers = taken(text, S3_SINK)
    assert numbers == {"records": 7, "objects": 0, "waiting": 3, "lag_s": 9}
    assert taken('stream_reader_lag_milliseconds{kind="pin"} 1500\n', STREAM_READER)["lag_s"] == 1.5


def test_a_counter_without_labels_yet_has_counted_nothing_and_a_gauge_is_not_known() -> None:
    assert taken("", PROXY) == {"records": 0}
    assert "lag_s" not in taken("", S3_SINK)


@given(st.floats())
def test_what_is_not_finite_or_beyond_all_counting_is_not_known(value: float) -> None:
    registry = CollectorRegistry()
    Gauge("lag", "l", registry=registry).set(value)
    numbers = taken(generate_latest(registry).decode(), {"lag": Taken("lag", counts=False)})
    assert numbers == ({"lag": value} if abs(value) <= 1e18 else {})


def test_a_counter_that_is_no_number_is_not_known_instead_of_0() -> None:
    for text in ("NaN", "+Inf", "1e300"):
        counted = f'proxy_records_stored_total{{a="1"}} 7\nproxy_records_stored_total {text}\n'
        assert "records" not in taken(counted, PROXY)
    most = "1.7e308"
    assert "waiting" not in taken(f's3_sink_lag_records{{a="1"}} {most}\ns3_sink_lag_records {most}\n', S3_SINK)


def test_nonsense_is_refused() -> None:
    for text in ("<html>", "a{b} 1", "a one"):
        with pytest.raises(ValueError):
            taken(text, PROXY)
