"""``python -m service_kit.probe PORT``: a container's health check. Exit code 0 when ``/readyz`` answers 200.

A container has Python and no curl. On anything else it prints why, and what the service said, and exits with 1.
With a second argument, SECONDS, a service that has not answered at all for so long is ended (``hung``): of a
container that runs it alone, in which Docker then starts it again.
"""

import http.client
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from service_kit import hung

TIMEOUT_S = 4
NOTES: Final = Path("/tmp/health.json")  # noqa: S108 (a container's own, gone with it)
"""What one health check leaves for the next."""


def ask(port: int, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, bytes]:
    """Status and body of one GET on loopback; blocks for ``timeout_s`` at most, for each step of it.

    Raises:
        OSError: nobody listens, or no answer came in time.
        http.client.HTTPException: the answer is not HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def main(arguments: list[str], path: str = "/readyz", is_well: Callable[[bytes], bool] = lambda _body: True) -> int:
    """Ask once; 0 for a 200 whose body ``is_well``."""
    if len(arguments) not in {1, 2} or not all(one.isdecimal() for one in arguments):
        sys.stderr.write("usage: the PORT to ask, and after how many SECONDS without an answer the service is ended\n")
        return 2
    port = int(arguments[0])
    answer = _asked(port, path)
    if len(arguments) == 2:
        # A check of readiness may take its time; that the process answers at all is another question.
        answered = answer is not None or _asked(port, "/livez") is not None
        if line := hung.note(NOTES, time.monotonic(), answered=answered, limit_s=float(arguments[1])):
            sys.stdout.write(f"{line}\n")
    if answer is None:
        return 1
    status, body = answer
    sys.stdout.write(body.decode(errors="replace"))
    return 0 if status == 200 and is_well(body) else 1


def _asked(port: int, path: str) -> tuple[int, bytes] | None:
    try:
        return ask(port, path)
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer to {path}: {error}\n")
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
