"""Has charts drawn by a process that ends: one at a time, within a deadline, with an answer of bounded size."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

logger = logging.getLogger(__name__)

DEADLINE_S: Final = 60.0
_MOST_BYTES: Final = 8_000_000
_CHILD: Final = (sys.executable, "-I", "-m", "dashboard.charts.child")
_KILLED_S: Final = 5.0


class DrawingError(Exception):
    """Nothing was drawn; the message is a line for people."""


class Drawer:
    """Safe to use from any thread; drawings are made one after the other."""

    def __init__(
        self, command: Sequence[str] = _CHILD, *, deadline_s: float = DEADLINE_S, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._command = tuple(command)
        self._deadline_s = deadline_s
        self._most_bytes = most_bytes
        self._one = threading.Lock()

    def draw(self, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """SVG of each Vega-Lite description by its name; one that cannot be drawn is left out and logged.

        Blocks until the process has ended, at most for the deadline and some seconds.

        Raises:
            DrawingError: the process did not start, did not end in time, said too much, or ended by an error.
        """
        with self._one:
            said = self._run(json.dumps(specs).encode())
        try:
            answer = json.loads(said)
            drawn: dict[str, str] = {name: str(answer["drawn"][name]) for name in specs if name in answer["drawn"]}
            failed: dict[str, str] = answer["failed"]
        except (ValueError, KeyError, TypeError) as error:
            raise DrawingError("the drawing process did not answer as agreed") from error
        for name, reason in failed.items():
            logger.error("a chart cannot be drawn", extra={"chart": name, "reason": reason})
        return drawn

    def _run(self, asked: bytes) -> bytes:
        try:
            # Without the environment: it needs none, and there may be keys in it.
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
            )
        except OSError as error:
            raise DrawingError(f"the drawing process did not start: {error.strerror}") from error
        said = _Bounded(process, asked, self._most_bytes)
        try:
            code = process.wait(self._deadline_s)
        except subprocess.TimeoutExpired as error:
            raise DrawingError(f"the charts were not drawn within {self._deadline_s:g} s") from error
        finally:
            process.kill()
            process.wait(_KILLED_S)
            text = said.ended(_KILLED_S)
        if text is None:
            raise DrawingError(f"the drawing process said more than {self._most_bytes:,} bytes")
        if code != 0:
            raise DrawingError(f"the drawing process ended with {code}")
        return text


class _Bounded:
    """Gives a process its input and takes its output, on a thread; ends it where it says too much."""

    def __init__(self, process: "subprocess.Popen[bytes]", asked: bytes, most: int) -> None:
        self._process = process
        self._most = most
        self._said: bytes | None = b""
        self._thread = threading.Thread(target=self._run, args=(asked,), name="drawing", daemon=True)
        self._thread.start()

    def ended(self, deadline_s: float) -> bytes | None:
        """What it said; None where that was too much. Call it once the process is dead."""
        self._thread.join(deadline_s)
        return self._said

    def _run(self, asked: bytes) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return
        with stdout:
            try:
                with stdin:
                    stdin.write(asked)
            except OSError:
                logger.debug("the drawing process did not read all")
            said = stdout.read(self._most + 1)
        if len(said) > self._most:
            self._said = None
            self._process.kill()
        else:
            self._said = said
