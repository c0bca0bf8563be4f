"""The HTTP server: granian, with its worker as a thread of this process.

Granian would run the worker as a child process. A killed parent would leave that child behind, holding
the port and answering with an old producer; one process dies as a whole.
"""

import errno
import logging
import socket
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces
from granian.server.mt import MTServer
from prometheus_client import CollectorRegistry

from ingest_proxy.stalls import Limits, StallWatch

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class PortTakenError(OSError):
    """Another process listens on this port."""


class _Server(MTServer):
    watch: StallWatch

    def shutdown(self, exit_code: int = 0) -> None:
        """Waits for all requests in flight, also for those whose sender has stalled."""
        self.watch.stop()
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]

    def _check_gil(self) -> None:
        """With one worker it does not matter that threads share the interpreter lock."""


def serve(
    app: "WSGIApplication",
    host: str,
    port: int,
    threads: int,
    *,
    registry: CollectorRegistry,
    limits: Limits = Limits(),  # noqa: B008 (it is frozen)
) -> None:
    """Answer requests until SIGTERM or SIGINT; then take no more, finish those in flight, and return.

    Stalled connections are cut and counted (``stalls.py``).

    Raises:
        PortTakenError: another process listens there.
    """
    _check_free(host, port)
    # It warns that threads without an interpreter lock are experimental; here there is a lock.
    logging.getLogger("_granian").setLevel(logging.ERROR)
    server = _Server(
        "ingest_proxy",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=1,
        blocking_threads=threads,
        # Requests beyond the working threads wait in the server, and further connections in the system's backlog.
        backlog=limits.connections,
        backpressure=limits.connections,
        websockets=False,
        log_enabled=False,
    )
    with StallWatch(port, registry, limits) as server.watch:
        watched = server.watch.around(app)
        server.serve(target_loader=lambda: watched, wrap_loader=False)


def _check_free(host: str, port: int) -> None:
    """Granian sets SO_REUSEPORT, with which a second proxy would silently take half of the requests."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            msg = f"proxy: port {port} of {host} is in use; end the process that holds it, or set PROXY_PORT"
            raise PortTakenError(msg) from error
