"""What is done again and again beside the answering of requests, and who looks."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from service_kit.clock import Clock
from service_kit.ops import NotReadyError

logger = logging.getLogger(__name__)

LOOKS_FOR_S: Final = 60.0
WATCHED_S: Final = 2.0
UNWATCHED_S: Final = 15.0
_STOP_S: Final = 5.0
_LISTENS_S: Final = 0.25


class Attention:
    """Whether somebody looks at the dashboard. Safe to use from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: float | None = None

    def seen(self) -> None:
        """Somebody has asked for a page or its numbers."""
        self._last = self._clock.monotonic()

    @property
    def watched(self) -> bool:
        """Whether somebody looked in the last minute."""
        last = self._last
        return last is not None and self._clock.monotonic() - last < LOOKS_FOR_S

    @property
    def pause_s(self) -> float:
        """How long what is shown need not be looked at again: short while somebody looks."""
        return WATCHED_S if self.watched else UNWATCHED_S


class Repeated:
    """Calls ``work`` on a thread of its own; the pause begins when the last call has ended, so none runs twice at once.

    ``pause_s`` is asked four times a second, so that a pause shortens as soon as somebody looks. ``work`` handles
    its sources' failures; what it raises is a defect: it is logged, and the next call is made all the same.
    """

    def __init__(self, name: str, work: Callable[[], None], pause_s: Callable[[], float], clock: Clock) -> None:
        self.name = name
        self._work = work
        self._pause_s = pause_s
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call is made at once."""
        self._thread.start()

    def stop(self, within_s: float = _STOP_S) -> None:
        """Make no further call; waits for the current one, for ``within_s`` seconds at most."""
        self._stopping.set()
        self._thread.join(within_s)

    def check(self) -> str:
        """For ``/readyz``: the thread lives.

        Raises:
            NotReadyError: it has ended, or was not started.
        """
        if not self._thread.is_alive():
            raise NotReadyError(f"the thread {self.name} does not run")
        return f"the thread {self.name} runs"

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception:
                logger.exception("a look failed by a defect", extra={"work": self.name})
            ended = self._clock.monotonic()
            while self._clock.monotonic() - ended < self._pause_s():
                if self._stopping.wait(_LISTENS_S):
                    return


def stop_all(threads: Sequence[Repeated], within_s: float = _STOP_S) -> None:
    """Stop them all together; those whose call does not end in time are left to end with the process."""
    end = time.monotonic() + within_s
    for thread in threads:
        thread.stop(0.0)
    for thread in threads:
        thread.stop(max(end - time.monotonic(), 0.0))
