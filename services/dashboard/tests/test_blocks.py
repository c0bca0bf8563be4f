"""The states of a block over any history of looks."""

from datetime import timedelta

from dashboard.blocks import Kept
from hypothesis import given
from hypothesis import strategies as st
from service_kit.clock import ManualClock

STALE_AFTER_S = 10.0
looks = st.one_of(
    st.tuples(st.just("took"), st.integers()),
    st.tuples(st.sampled_from(["nothing", "failed"]), st.just(0)),
    st.tuples(st.just("waits"), st.integers(1, 30)),
)


@given(st.lists(looks, max_size=12))
def test_a_block_says_how_far_its_value_can_be_believed(history: list[tuple[str, int]]) -> None:
    clock = ManualClock()
    kept: Kept[int] = Kept(clock, STALE_AFTER_S)
    last: int | None = None
    taken_at, looked_at, failed, looked = clock.now(), clock.now(), False, False
    for what, value in history:
        if what == "waits":
            clock.sleep(value)
        elif what == "failed":
            kept.failed("it is down")
            failed = True
        else:
            if what == "took":
                kept.took(value)
                last, taken_at = value, clock.now()
            else:
                kept.nothing("there is nothing", "pipeline send")
                last = None
            looked, failed, looked_at = True, False, clock.now()
        block = kept.block()
        silent = clock.now() - looked_at > timedelta(seconds=STALE_AFTER_S)
        assert block.value == last
        if last is not None:
            assert block.state == ("stale" if failed or silent else "fresh")
            assert block.as_of == taken_at
        else:
            assert block.state == ("error" if failed or silent else "empty" if looked else "loading")
        assert block.why or block.state == "fresh"
        assert (block.fills == "pipeline send") == (block.state == "empty")
