import pytest
from emitter.pacing import LINGER_S, Pacer
from service_kit.clock import ManualClock


def pacer(rate: float | None, clock: ManualClock) -> Pacer:
    def pause(seconds: float) -> bool:
        clock.sleep(seconds)
        return False

    return Pacer(rate, clock, pause)


@pytest.mark.parametrize("rate", [0.5, 10.0, 333.0, 20_000.0])
def test_rate_is_kept(rate: float) -> None:
    clock = ManualClock()
    paced = pacer(rate, clock)
    taken = 0
    while clock.monotonic() < 20:
        taken += paced.take(1_000)
    assert taken == pytest.approx(20 * rate, rel=0.01, abs=2)


def test_a_stall_is_not_caught_up_with() -> None:
    clock = ManualClock()
    paced = pacer(10, clock)
    paced.take(1)
    clock.sleep(3_600)
    assert paced.take(1_000) == 10
    assert paced.take(1_000) == 10 * LINGER_S


def test_rows_go_in_groups() -> None:
    clock = ManualClock()
    paced = pacer(200, clock)
    paced.take(1)
    began = clock.monotonic()
    assert [paced.take(1_000) for _ in range(3)] == [200 * LINGER_S] * 3
    assert clock.monotonic() - began == pytest.approx(3 * LINGER_S)


def test_without_a_rate_and_when_stopped() -> None:
    clock = ManualClock()
    assert pacer(None, clock).take(77) == 77
    stopped = Pacer(1, clock, lambda _: True)
    assert [stopped.take(5), stopped.take(5)] == [1, 0]
