"""The last records of one stream, and how many of them were rejected."""

import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_kit.clock import ManualClock
from stream_reader.queries.rejects import RejectWindow


def window(size: int = 1_000, ratio: float = 0.5, file: Path | None = None) -> RejectWindow:
    return RejectWindow(size, ratio, ManualClock(), file)


def bad(count: int) -> dict[str, int]:
    return {"not_json": count} if count else {}


BATCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)), max_size=60)


@given(batches=BATCHES, size=st.integers(1, 100), restarts=st.booleans())
def test_it_is_the_shortest_end_of_all_batches_within_a_twentieth(
    batches: list[tuple[int, int, int]], size: int, restarts: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against the whole history, with a restart after each batch or without."""
    file = tmp_path_factory.mktemp("rejects") / "pin.json"
    kept = window(size, file=file)
    history: list[tuple[int, Counter[str]]] = []
    for good, first, second in batches:
        reasons = Counter(not_json=first, wrong_kind=second) + Counter()
        history.append((good + reasons.total(), reasons))
        kept.add(*history[-1])
        kept = window(size, file=file) if restarts and any(reasons for _, reasons in history) else kept
        portions = kept._kept.portions
        taken, rejected = sum(one.seen for one in portions), sum((Counter(one.reasons) for one in portions), Counter())
        ends = [(0, Counter[str]())]
        for seen, other in reversed(history):
            ends.append((ends[-1][0] + seen, ends[-1][1] + other))
        assert (taken, rejected) in ends
        assert min(size, ends[-1][0]) <= taken
        if portions:
            assert taken - portions[0].seen < size
            assert portions[0].seen < size / 20 + max(seen for seen, _ in history)
        assert len(portions) <= 22
        assert (kept.problem() is not None) == (taken >= size and rejected.total() > taken / 2)


def test_the_line_says_how_many_why_where_to_look_and_how_it_ends() -> None:
    told = window(10)
    told.add(10, {"wrong_kind": 2, "not_json": 5})
    assert told.problem() == (
        "7 of the last 10 records were rejected, 5 of them as not_json: see `pipeline quarantine --path stream` (table "
        "quarantine/stream) and correct their sender; good records are stored as ever, and this ends by itself once at "
        "most 50% are rejected, or 60 minutes after the last one"
    )
    assert told.share == 0.7


def test_nothing_is_judged_before_the_minimum() -> None:
    few = window()
    few.add(999, bad(999))
    assert few.problem() is None
    few.add(1, {})
    assert few.problem() is not None


def test_exactly_half_is_bearable() -> None:
    half = window(10)
    half.add(10, bad(5))
    assert half.problem() is None


def test_it_ends_by_good_records_or_an_hour_after_the_last_bad_one() -> None:
    clock = ManualClock()
    late = RejectWindow(100, 0.5, clock)
    late.add(100, bad(100))
    clock.sleep(3_500)
    late.add(10, bad(1))
    clock.sleep(3_500)
    late.add(10, {})
    assert late.problem() is not None
    clock.sleep(200)
    assert late.problem() is None
    late.add(10, bad(10))
    assert late.problem() is not None
    late.add(100, {})
    assert late.problem() is None


@pytest.mark.parametrize("content", [b"", b'{"portions":', b'{"portions":7}', b"\0" * 50])
def test_a_damaged_file_is_written_anew(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "pin.json"
    file.write_bytes(content)
    anew = window(10, file=file)
    assert [record.getMessage() for record in caplog.records] == ["rejected records are counted anew"]
    anew.add(10, bad(10))
    assert window(10, file=file).problem() is not None


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "pin.json"
    file.mkdir()
    kept = window(10, file=file)
    kept.add(10, bad(10))
    assert kept.problem() is not None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_restart_an_hour_later_is_ready(tmp_path: Path) -> None:
    window(10, file=tmp_path / "pin.json").add(10, bad(10))
    later = ManualClock(datetime(2026, 1, 1, 1, 0, 1, tzinfo=UTC))
    assert RejectWindow(10, 0.5, later, tmp_path / "pin.json").problem() is None


@pytest.mark.parametrize("ratio", [0.0, 0.9])
def test_the_ratio_is_a_setting(ratio: float) -> None:
    judged = window(10, ratio)
    judged.add(10, bad(5))
    assert (judged.problem() is not None) == (ratio < 0.5)
