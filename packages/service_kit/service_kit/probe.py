"""``python -m service_kit.probe PORT``: a container's health check. Exit code 0 when ``/readyz`` answers 200.

A container has Python and no curl. On anything else it prints why, and what the service said, and exits with 1.
"""

import http.client
import sys

TIMEOUT_S = 4


def main(arguments: list[str]) -> int:
    """Ask once, on loopback; blocks for 4 s at most."""
    if len(arguments) != 1 or not arguments[0].isdecimal():
        sys.stderr.write("usage: python -m service_kit.probe PORT\n")
        return 2
    connection = http.client.HTTPConnection("127.0.0.1", int(arguments[0]), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(body.decode(errors="replace"))
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
