"""Waiting in tests for what another process or thread does."""

import time
from collections.abc import Callable


def wait_until[T](what: str, holds: Callable[[], T], deadline_s: float = 60, poll_s: float = 0.1) -> T:
    """Block until something holds (is true, or not empty); returns it.

    Raises:
        AssertionError: it did not in time; the message says what was waited for.
    """
    deadline = time.monotonic() + deadline_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what}"
        time.sleep(poll_s)
    return found
