"""Ending early: asked for from outside, or because one part of a run cannot go on."""

import threading

from service_kit.clock import Clock
from service_kit.shutdown import Shutdown

_LOOK_AGAIN_S = 0.2


class Stops:
    """Shared by the reader and all lanes of a run."""

    def __init__(self, shutdown: Shutdown, clock: Clock) -> None:
        self._shutdown = shutdown
        self.clock = clock
        self._given_up = threading.Event()
        self.failures: list[Exception] = []

    def requested(self) -> bool:
        """Whether to end now."""
        return self._shutdown.requested or self._given_up.is_set()

    def pause(self, seconds: float) -> bool:
        """Sleep, but not much longer than until asked to end; returns ``requested``."""
        end = self.clock.monotonic() + seconds
        while not self.requested() and (left := end - self.clock.monotonic()) > 0:
            self.clock.sleep(min(left, _LOOK_AGAIN_S))
        return self.requested()

    def give_up(self, error: Exception) -> None:
        """End the run because of this."""
        self.failures.append(error)
        self._given_up.set()
