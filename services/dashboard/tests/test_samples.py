"""Rates of counters that begin again, and whether a lag grows."""

import pytest
from dashboard.live.samples import BUCKETS, KEPT_S, Samples
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.lists(
        st.tuples(st.integers(2, 80).map(lambda quarters: quarters / 4), st.integers(0, 1_000), st.booleans()),
        min_size=1,
        max_size=30,
    ),
)
def test_a_rate_is_what_came_in_the_time_whatever_restarts(steps: list[tuple[float, int, bool]]) -> None:
    samples, at, counter = Samples(), 0.0, 500.0
    came = []
    samples.add(at, {"n": counter})
    for seconds, more, restarted in steps:
        at += seconds
        before, counter = counter, (0.0 if restarted else counter) + more
        # Of a restart nothing is seen where the new process has counted further than the old one.
        came.append((seconds, counter - before if counter >= before else counter))
        samples.add(at, {"n": counter})
    recent: list[tuple[float, float]] = []
    for step in reversed(came):
        recent.append(step)
        if sum(seconds for seconds, _ in recent) >= 10:
            break
    expected = sum(more for _, more in recent) / sum(seconds for seconds, _ in recent)
    rate = samples.rate("n", at)
    assert rate is not None
    assert 0 <= rate == pytest.approx(expected)


def test_no_rate_without_two_samples_of_now() -> None:
    samples = Samples()
    assert samples.rate("n", 0) is None
    samples.add(0, {"n": 1})
    assert samples.rate("n", 1) is None
    samples.add(200, {"n": 1})
    assert samples.rate("n", 200) is None  # too far apart to say anything of now
    samples.add(202, {"n": 5})
    assert samples.rate("n", 202) == 2
    assert samples.rate("n", 300) is None
    assert samples.rate("other", 202) is None


@given(start=st.floats(0, 1_000), per_second=st.floats(-5, 5))
def test_growth_over_the_last_minute(start: float, per_second: float) -> None:
    samples = Samples()
    values = [max(start + per_second * at, 0.0) for at in range(0, 62, 2)]
    for at, value in zip(range(0, 62, 2), values, strict=True):
        samples.add(at, {"lag": value})
    change = sum(values[-11:]) / 11 - sum(values[:11]) / 11
    trend = samples.trend("lag", 60, least=1.0)
    if trend == "steady":
        assert abs(change) <= max(1.0, 0.1 * max(values)) + 1e-9
    else:
        assert trend == ("grows" if change > 0 else "shrinks")
    assert samples.trend("lag", 90, least=1.0) == ""


def test_what_is_kept_is_bounded() -> None:
    samples = Samples()
    for at in range(2_000):
        samples.add(at / 10, {"n": at})
    samples.add(10_000, {"n": 1})
    assert len(samples._kept) == 1
    for at in range(2_000):
        samples.add(10_001 + at, {"n": at})
    assert len(samples._kept) <= KEPT_S + 1


@given(st.lists(st.tuples(st.sampled_from([2.0, 15.0, 90.0]), st.integers(0, 100)), max_size=60), st.booleans())
def test_history_is_the_rates_of_five_minutes(steps: list[tuple[float, int]], restarted: bool) -> None:
    samples, at, counter = Samples(), 0.0, 0.0
    rates: list[tuple[float, float, float]] = []
    samples.add(at, {"n": counter})
    for seconds, more in steps:
        before, at, counter = at, at + seconds, (0.0 if restarted else counter) + more
        came = counter if restarted and counter < samples._kept[-1][1]["n"] else counter - samples._kept[-1][1]["n"]
        samples.add(at, {"n": counter})
        if seconds <= 60 and before >= at - 300:
            rates.append((before, at, came / seconds))
    history = samples.history("n", at)
    assert len(history) == BUCKETS
    oldest = samples._kept[0][0]
    for bucket, rate in enumerate(history):
        middle = at - 300 + (bucket + 0.5) * 5
        expected = [r for before, after, r in rates if before <= middle <= after and before >= oldest]
        if rate is None:
            assert not expected
        else:
            assert any(rate == pytest.approx(one) for one in expected)
