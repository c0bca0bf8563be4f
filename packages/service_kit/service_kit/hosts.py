"""Requests by a name that is not the service's: a page of somebody else, whose own name was made to lead here.

A browser lets such a page read the answers (DNS rebinding): being published on loopback alone does not keep it out.
"""

import json
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_STATUS = "421 Misdirected Request"


def for_hosts(allowed: str, app: "WSGIApplication") -> "WSGIApplication":
    """``app`` for requests to an IP address, to ``localhost`` or to an allowed name; to any other, 421.

    ``allowed`` holds names, separated by commas. Empty: ``app`` as it is, for a service that others name, such as
    behind a load balancer.
    """
    named = {name.strip().lower() for name in allowed.split(",")} - {""}
    if not named:
        return app
    names = {*named, "localhost", "127.0.0.1"}

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        # Every browser sends one.
        if not host or _is_of(names, host):
            return app(environ, start_response)
        message = f"No service is called {host} here; ALLOWED_HOSTS is {allowed}"
        body = json.dumps({"error_code": 421, "message": message}).encode() + b"\n"
        start_response(_STATUS, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application


def _is_of(names: set[str], host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in names or bool(ip_address(name))
    except ValueError:
        return False
