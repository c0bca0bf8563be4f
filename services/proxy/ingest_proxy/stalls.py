"""Senders that announce a body and stop sending it: their connections are cut, so that they hold no thread for ever.

Granian has a deadline for the head of a request (30 s) and none for its body, and it does not say which
connection a request came by. So while some request has waited long for its body, every connection that has
brought nothing for that long is cut. That hits stalled senders, and with them idle connections, which any
client must be able to lose, and requests that waited as long for a thread, which nobody waits for any more. A
request that waits for Kafka has its answer before the limit. Who sends slowly, but sends, is not cut.

The server serves a bounded number of connections. When most of them are taken, those that have never sent a byte are
cut after a few seconds, so that nobody is kept out by connections that ask for nothing.
"""

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter

from ingest_proxy.settings import GATEWAY_PATIENCE_S

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

_LOOKS_PER_LIMIT: Final = 6
_STOP_LOOK_S: Final = 0.25
_CROWDED: Final = 0.75
# linux/tcp.h, struct tcp_info: tcpi_state is its first byte, tcpi_last_data_recv a u32 of milliseconds.
_ESTABLISHED: Final = 1
_LAST_DATA_RECEIVED: Final = 52
_BYTES_RECEIVED: Final = 128
_TCP_INFO_BYTES: Final = 136


@dataclass(frozen=True)
class Limits:
    """How long senders may take.

    ``idle_s``: without a byte, while a body is awaited; more than the longest answer takes.
    ``stop_s``: for what is left of a body when the proxy is asked to stop.
    ``connections``: how many the server serves at once; from three quarters of it on, a connection may be silent for
    ``first_byte_s`` after it was opened.
    """

    idle_s: float = 30.0
    stop_s: float = 5.0
    first_byte_s: float = 5.0
    connections: int = 4096


class StallWatch:
    """Cuts stalled connections to one port of this process, from a thread of its own. A context manager.

    ``idle_s`` works on Linux alone: no other system tells how long a connection has been silent. ``stop_s``
    works everywhere.
    """

    def __init__(self, port: int, registry: CollectorRegistry, limits: Limits) -> None:
        self._port = port
        self._limits = limits
        self._cut_total = Counter("proxy_connections_cut", "Connections cut as stalled", registry=registry)
        self._requests: set[_Body] = set()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stalls", daemon=True)

    def __enter__(self) -> "StallWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._stopping.set()
        self._thread.join(timeout=5)

    def around(self, app: "WSGIApplication") -> "WSGIApplication":
        """The same application, with its requests and the reads of their bodies watched."""

        def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            body = environ["wsgi.input"] = _Body(environ["wsgi.input"])
            self._requests.add(body)
            try:
                return app(environ, start_response)
            finally:
                self._requests.discard(body)

        return application

    def stop(self) -> None:
        """The server takes no more requests: bodies have ``stop_s`` left. Does not block.

        After that every connection is cut as soon as no request is at work, and in any case when those
        whose body came in time have been answered.
        """
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(min(self._limits.idle_s / _LOOKS_PER_LIMIT, self._limits.first_byte_s)):
            now = time.monotonic()
            # list() of a set is one step for other threads.
            waits = (body.reading_since or now for body in list(self._requests))
            if now - min(waits, default=now) > self._limits.idle_s:
                self._cut(self._limits.idle_s)
            self._cut_what_asks_for_nothing()
        began = time.monotonic()
        was_quiet = False
        while not self._ended.wait(_STOP_LOOK_S):
            # Twice quiet, since an answer is written after its request has left the application.
            quiet = all(body.reading_since is not None for body in list(self._requests))
            late_s = time.monotonic() - began - self._limits.stop_s
            if late_s > GATEWAY_PATIENCE_S or (late_s > 0 and quiet and was_quiet):
                self._cut(0)
            was_quiet = quiet

    def _cut_what_asks_for_nothing(self) -> None:
        try:
            crowded = sum(1 for _ in _connections(self._port)) > self._limits.connections * _CROWDED
            for connection in _connections(self._port) if crowded else ():
                with contextlib.suppress(OSError):  # the peer was quicker
                    information = _tcp_info(connection)
                    if information is not None and _received(information) == 0:
                        self._cut_if_silent(connection, self._limits.first_byte_s)
        except OSError as error:  # no file descriptor is left to list them with
            logger.warning("silent connections not found", extra={"reason": str(error)})

    def _cut(self, idle_s: float) -> None:
        """Cut each connection that has been silent for so long; 0 cuts all."""
        try:
            for connection in _connections(self._port):
                with contextlib.suppress(OSError):  # the peer was quicker
                    self._cut_if_silent(connection, idle_s)
        except OSError as error:  # no file descriptor is left to list them with
            logger.warning("stalled connections not found", extra={"reason": str(error)})

    def _cut_if_silent(self, connection: socket.socket, idle_s: float) -> None:
        silent_s = _silent_s(connection)
        if idle_s == 0 or (silent_s is not None and silent_s > idle_s):
            peer = "{}:{}".format(*connection.getpeername()[:2])
            connection.shutdown(socket.SHUT_RDWR)
            self._cut_total.inc()
            logger.warning("stalled connection cut", extra={"peer": peer, "silent_s": silent_s})


class _Body:
    """The body of one request. ``reading_since`` (monotonic) is set while a read of it blocks."""

    __slots__ = ("_input", "reading_since")

    def __init__(self, body: Any) -> None:
        self._input = body
        self.reading_since: float | None = None

    def read(self, size: int = -1) -> bytes:
        self.reading_since = time.monotonic()
        try:
            piece: bytes = self._input.read(size)
            return piece
        finally:
            self.reading_since = None


def _connections(port: int) -> Iterator[socket.socket]:
    """Duplicates of this process's open connections to its ``port``; each is good until the next one."""
    for entry in Path("/dev/fd").iterdir():
        try:
            copy = os.dup(int(entry.name))
        except OSError:  # the one that listed the others, or closed meanwhile
            continue
        try:
            found = socket.socket(fileno=copy)
        except OSError:  # no socket
            os.close(copy)
            continue
        with found:
            if _is_connection(found, port):
                yield found


def _is_connection(found: socket.socket, port: int) -> bool:
    if found.family not in {socket.AF_INET, socket.AF_INET6} or found.type != socket.SOCK_STREAM:
        return False
    try:
        found.getpeername()
        return bool(found.getsockname()[1] == port) and not _is_closing(found)
    except OSError:  # it listens, or is no longer connected
        return False


def _is_closing(connection: socket.socket) -> bool:
    """Whether one side has closed it, as after a cut. False where the system does not tell."""
    information = _tcp_info(connection)
    return information is not None and information[0] != _ESTABLISHED


def _silent_s(connection: socket.socket) -> float | None:
    """Seconds since the last byte from the peer, or None where the system does not tell."""
    information = _tcp_info(connection)
    if information is None:
        return None
    milliseconds: int = struct.unpack_from("I", information, _LAST_DATA_RECEIVED)[0]
    return milliseconds / 1000


def _tcp_info(connection: socket.socket) -> bytes | None:
    if not hasattr(socket, "TCP_INFO"):
        return None
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)


def _received(information: bytes) -> int | None:
    """Bytes that the peer has ever sent (Linux 4.1 and later), or None where the system does not tell."""
    if len(information) < _TCP_INFO_BYTES:
        return None
    received: int = struct.unpack_from("Q", information, _BYTES_RECEIVED)[0]
    return received
