"""Retries with a bound, exponential backoff and full jitter.

https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service_kit.clock import Clock, SystemClock

_GROWTH = 2.0


@dataclass(frozen=True)
class RetryPolicy:
    """How long to go on: ``deadline_s`` from the first try; waits grow from ``first_wait_s`` to ``longest_wait_s``."""

    deadline_s: float
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    clock: Clock = field(default_factory=SystemClock)
    uniform: Callable[[float, float], float] = random.uniform

    def waits(self) -> Iterator[float]:
        """Waits to sleep between tries, each random in [0, backoff]; ends where the deadline would be passed."""
        end = self.clock.monotonic() + self.deadline_s
        backoff = self.first_wait_s
        while (left := end - self.clock.monotonic()) > 0:
            yield min(self.uniform(0, backoff), left)
            backoff = min(backoff * _GROWTH, self.longest_wait_s)


def retry[T](
    call: Callable[[], T],
    policy: RetryPolicy,
    retry_on: type[BaseException] | tuple[type[BaseException], ...],
    on_retry: Callable[[BaseException, float], None] | None = None,
) -> T:
    """Call until it returns. Blocks for ``policy.deadline_s`` at most, plus the last call.

    Raises:
        The last error, once the deadline has passed; any error that ``retry_on`` does not name, at once.
    """
    waits = policy.waits()
    while True:
        try:
            return call()
        except retry_on as error:
            wait = next(waits, None)
            if wait is None:
                raise
            if on_retry is not None:
                on_retry(error, wait)
        policy.clock.sleep(wait)
