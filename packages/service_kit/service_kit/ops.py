"""The four operational routes of every service, as one WSGI application without a framework.

``GET /livez``: the process answers. ``GET /readyz``: 200 when every check passes, else 503; one JSON line per
check. ``GET /version``: which build. ``GET /metrics``: Prometheus text.

A Flask service puts them in front with ``app.wsgi_app = ops.in_front_of(app.wsgi_app)``; a worker without
HTTP serves them on a thread with ``OpsServer``.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service_kit.hosts import for_hosts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DISTRIBUTION = "pinterest-data-pipeline"
_POLL_S = 0.1
"""How long a stop waits for the thread that serves; by default half a second."""


class NotReadyError(Exception):
    """Raised by a check: this dependency cannot be used now, and why."""


Check = Callable[[], str]
"""Returns a short text on what is fine. Raises ``NotReadyError``; must answer within two seconds."""


@dataclass(frozen=True)
class Ops:
    """The routes of one service."""

    service: str
    checks: Mapping[str, Check]
    registry: CollectorRegistry = REGISTRY

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one of the four paths; 404 for others, 405 for anything but GET and HEAD."""
        routes: dict[str, Callable[[], tuple[str, str, bytes]]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/version": self._version,
            "/metrics": self._metrics,
        }
        headers: list[tuple[str, str]] = []
        route = routes.get(environ["PATH_INFO"])
        if route is None:
            status, kind, body = (
                "404 Not Found",
                "application/json",
                b'{"error_code":404,"message":"Not found"}\n',
            )
        elif environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            status, kind, body = (
                "405 Method Not Allowed",
                "application/json",
                b'{"error_code":405,"message":"Use GET"}\n',
            )
            headers.append(("Allow", "GET, HEAD"))
        else:
            status, kind, body = route()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
        return [body]

    def in_front_of(self, app: "WSGIApplication") -> "WSGIApplication":
        """A WSGI application that answers the four paths and hands all else to ``app``."""
        paths = {"/livez", "/readyz", "/version", "/metrics"}

        def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            if environ["PATH_INFO"] in paths:
                return self(environ, start_response)
            return app(environ, start_response)

        return application

    def _live(self) -> tuple[str, str, bytes]:
        return "200 OK", "application/json", b'{"status":"alive"}\n'

    def _ready(self) -> tuple[str, str, bytes]:
        lines = []
        ready = True
        for name, check in self.checks.items():
            line: dict[str, Any] = {"check": name, "ok": True}
            try:
                line["detail"] = check()
            except NotReadyError as error:
                ready = False
                line.update(ok=False, detail=str(error))
            lines.append(json.dumps(line))
        status = "200 OK" if ready else "503 Service Unavailable"
        return status, "application/x-ndjson", ("\n".join(lines) + "\n").encode()

    def _version(self) -> tuple[str, str, bytes]:
        body = json.dumps({"service": self.service, "version": metadata.version(DISTRIBUTION)})
        return "200 OK", "application/json", (body + "\n").encode()

    def _metrics(self) -> tuple[str, str, bytes]:
        return "200 OK", CONTENT_TYPE_LATEST, generate_latest(self.registry)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Health probes are no news."""


class OpsServer:
    """Serves ``Ops`` on its own thread, for workers that have no HTTP otherwise. Made, it listens; entered, it answers.

    ``allowed_hosts`` as ``hosts.for_hosts`` says.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, ops: Ops, host: str, port: int, allowed_hosts: str = "") -> None:
        app = for_hosts(allowed_hosts, ops)
        self._server = make_server(host, port, app, server_class=_Server, handler_class=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="ops", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    @property
    def port(self) -> int:
        """The port it is bound to (useful when asked for port 0)."""
        return int(self._server.server_port)
