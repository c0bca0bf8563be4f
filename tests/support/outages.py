"""Services of a running installation that are away for as long as a test wants."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stack import Stack

TAKEN_WITHIN_S = 10


@contextmanager
def port_is_taken(stack: Stack, service: str) -> Iterator[None]:
    """Kill the service and take its port before it is back: every restart fails until the end of the block.

    Connections are taken and never answered. Where nobody listened, the service could take the port, too.
    """
    port = stack.json("status", check=False)["services"][service]["port"]
    stack.kill(service)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deadline = time.monotonic() + TAKEN_WITHIN_S
        while True:
            try:
                taken.bind(("127.0.0.1", port))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        taken.listen()
        yield


@contextmanager
def hung(stack: Stack, service: str) -> Iterator[None]:
    """Its process is stopped: the system still takes connections for it, and nobody answers."""
    pid = int(stack.json("status", check=False)["services"][service]["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
