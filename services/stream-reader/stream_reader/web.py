"""The HTTP server of both programs of this package."""

import socket
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Polling clients are no news."""


def bound_server(host: str, port: int, application: "WSGIApplication") -> BaseWSGIServer:
    """A server with a thread for each request, which listens and has yet to serve.

    Raises:
        OSError: the address cannot be bound. Werkzeug by itself would end the process.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=128) as bound:
        return make_server(host, port, application, threaded=True, request_handler=_QuietHandler, fd=bound.fileno())
