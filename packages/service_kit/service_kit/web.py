"""What services with a Flask application share. Flask comes with their extras: nothing else here may import this."""

import hmac
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from pydantic import SecretStr
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _QuietHandler(WSGIRequestHandler):
    timeout = 30
    """Seconds that one read or write may take: a client that goes silent holds its thread no longer."""

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


def answer_errors(app: Flask, answer: Callable[[HTTPException], Response]) -> None:
    """Answer what Flask refuses, and defects, in the application's own words; 405 with what is allowed.

    Flask has logged a defect, with its trace, before it asks for the answer.
    """

    def answered(error: HTTPException) -> Response:
        response = answer(error)
        if allowed := getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    app.register_error_handler(HTTPException, answered)


def bears(token: SecretStr) -> bool:
    """Whether the request has this bearer token; how long it takes tells nothing of it. The scheme's case is free."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and _same(given.strip(), token)


def knows(token: SecretStr) -> bool:
    """Whether the request has this token as the password of Basic authentication, by which a browser asks a person."""
    given = request.authorization
    return given is not None and given.type == "basic" and _same(given.password or "", token)


def _same(given: str, token: SecretStr) -> bool:
    return hmac.compare_digest(given.encode(), token.get_secret_value().encode())
