import pytest
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy, retry


class Flaky:
    def __init__(self, failures: int) -> None:
        self.left = failures

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise ConnectionError(str(self.left))
        return "done"


def policy(clock: ManualClock, deadline_s: float) -> RetryPolicy:
    return RetryPolicy(deadline_s, first_wait_s=1, longest_wait_s=4, clock=clock, uniform=lambda _, high: high)


def test_waits_double_up_to_the_longest() -> None:
    clock = ManualClock()
    assert retry(Flaky(4), policy(clock, 60), ConnectionError) == "done"
    assert clock.monotonic() == 1 + 2 + 4 + 4


def test_the_last_error_is_raised_at_the_deadline() -> None:
    clock = ManualClock()
    with pytest.raises(ConnectionError):
        retry(Flaky(100), policy(clock, 5), ConnectionError)
    assert clock.monotonic() == 5


def test_other_errors_are_raised_at_once() -> None:
    clock = ManualClock()
    with pytest.raises(ConnectionError):
        retry(Flaky(1), policy(clock, 60), TimeoutError)
    assert clock.monotonic() == 0
