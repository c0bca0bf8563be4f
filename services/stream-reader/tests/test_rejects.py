import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_reader.rejects import RejectLimit


def test_nothing_is_judged_before_the_minimum() -> None:
    limit = RejectLimit(1_000, 0.5)
    assert limit.add(999, 999) is None


def test_more_than_half_of_the_minimum() -> None:
    limit = RejectLimit(1_000, 0.5)
    assert limit.add(999, 500) is None
    reason = limit.add(1, 1)
    assert reason is not None
    assert reason.startswith("501 of the last 1000 records were rejected, more than 50%")


def test_exactly_half_is_allowed() -> None:
    assert RejectLimit(10, 0.5).add(10, 5) is None


def test_the_samples_first_four_users_stop_nothing() -> None:
    limit = RejectLimit(1_000, 0.5)
    assert limit.add(4, 4) is None
    assert limit.add(1_325, 0) is None


def test_a_long_good_past_does_not_cover_a_bad_present() -> None:
    limit = RejectLimit(1_000, 0.5)
    for _ in range(100):
        assert limit.add(500, 0) is None
    assert limit.add(500, 500) is None
    assert limit.add(1, 1) is not None


def test_an_old_bad_past_is_forgotten() -> None:
    limit = RejectLimit(1_000, 0.5)
    assert limit.add(900, 500) is None
    assert limit.add(1_000, 0) is None
    assert limit.add(10, 10) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=40), st.integers(1, 100))
def test_it_judges_the_shortest_end_that_holds_the_minimum(batches: list[tuple[int, int]], minimum: int) -> None:
    limit = RejectLimit(minimum, 0.5)
    history: list[tuple[int, int]] = []
    for one, other in batches:
        seen, rejected = max(one, other), min(one, other)
        history.append((seen, rejected))
        told = limit.add(seen, rejected)
        taken = bad = 0
        for count, wrong in reversed(history):
            taken, bad = taken + count, bad + wrong
            if taken >= minimum:
                break
        assert (told is not None) == (taken >= minimum and bad > taken / 2)


@pytest.mark.parametrize("ratio", [0.0, 0.9])
def test_the_ratio_is_a_setting(ratio: float) -> None:
    assert (RejectLimit(10, ratio).add(10, 5) is not None) == (ratio < 0.5)
