"""SIGTERM and SIGINT end a service in order: loops look at ``requested``, waits wake up."""

import signal
import threading
from types import FrameType


class Shutdown:
    """A request to stop, made by a signal or by ``request()``. Safe to use from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> None:
        """Take over SIGTERM and SIGINT. Call from the main thread, once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def request(self) -> None:
        """Ask to stop."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep until asked to stop or the time is over; returns ``requested``."""
        return self._event.wait(seconds)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()
