"""How long one task may take."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

CANCEL_AGAIN_S: Final = 0.2
"""Again and again, since between two Spark jobs there is nothing to cancel."""


class Deadline:
    """Cancels what goes on from ``seconds`` on (0: never) until it is left. A context manager, entered once.

    ``passed`` says whether it cancelled. After the exit it cancels nothing any more.
    """

    def __init__(self, seconds: int, cancel: Callable[[], None]) -> None:
        self.passed = False
        self._seconds = seconds
        self._cancel = cancel
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._seconds:
            threading.Thread(target=self._watch, name="deadline", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()

    def _watch(self) -> None:
        wait_s: float = self._seconds
        while not self._over.wait(wait_s):
            with self._lock:
                if self._over.is_set():
                    return
                self.passed = True
                self._cancel()
            wait_s = CANCEL_AGAIN_S
