"""``python -m service_kit.probe PORT``: a container's health check. Exit code 0 when ``/readyz`` answers 200.

A container has Python and no curl. On anything else it prints why, and what the service said, and exits with 1.
"""

import http.client
import sys
from collections.abc import Callable

TIMEOUT_S = 4


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
    if len(arguments) != 1 or not arguments[0].isdecimal():
        sys.stderr.write("usage: one argument, the PORT to ask\n")
        return 2
    try:
        status, body = ask(int(arguments[0]), path)
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    sys.stdout.write(body.decode(errors="replace"))
    return 0 if status == 200 and is_well(body) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
