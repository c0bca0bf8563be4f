"""Who may use LocalStack's port: programs on this machine and in its containers, never a page in a browser.

LocalStack checks no signature and answers to any name, so a page could delete streams or write objects by a form, an
image or a name of its own that leads here. A page cannot send a SigV4 ``Authorization`` to another origin without
asking first, and that question carries an ``Origin``. Compressed bodies stop here, too: LocalStack would inflate
them without a limit before it looks at the key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from pipeline_local.localstack_edge.records import METRICS

HEALTH = "/_localstack/health"
_OPEN = {HEALTH, METRICS}
_GATEWAY = re.compile(r"/_aws/execute-api/[^/]+/[^/]+(/|$)")
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 .*Credential=[^/,\s]+/[^/,\s]+/[^/,\s]+/([^/,\s]+)/aws4_request")
_OWN_PAGES = {"same-origin", "none"}


class Headers(Protocol):
    """Headers as Werkzeug holds them; names in any case."""

    def getlist(self, key: str, /) -> Sequence[str]:
        """All values of one header, in order."""


@dataclass(frozen=True)
class Refusal:
    """An answer in the place of LocalStack's."""

    status: int
    message: str


class Door:
    """Looks at each request before LocalStack does. ``hosts``: names by which this port may be called besides."""

    def __init__(self, hosts: str) -> None:
        self._names = {name.strip().lower() for name in hosts.split(",")} - {""} | {"localhost"}

    def refusal(self, method: str, path: str, headers: Headers) -> Refusal | None:
        """Why the request is not served; None where it is. ``path`` without query, decoded."""
        return (
            self._foreign_name(headers)
            or self._page(headers)
            or self._compressed(path, headers)
            or (_only_read(method, path) if path in _OPEN else None if is_gateway(path) else unsigned(headers))
        )

    def _foreign_name(self, headers: Headers) -> Refusal | None:
        hosts = headers.getlist("Host")
        if len(hosts) == 1 and self._is_ours(hosts[0]):
            return None
        return Refusal(
            421, f"this port does not answer to {', '.join(hosts) or '(no Host)'}; add the name to ALLOWED_HOSTS"
        )

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._names or bool(ip_address(name))
        except ValueError:
            return False

    def _page(self, headers: Headers) -> Refusal | None:
        [host] = headers.getlist("Host")
        own = {f"http://{host}", f"https://{host}"}
        if foreign := [origin for origin in headers.getlist("Origin") if origin not in own]:
            return Refusal(403, f"pages of {foreign[0]} may not use this port")
        if any(site not in _OWN_PAGES for site in headers.getlist("Sec-Fetch-Site")):
            return Refusal(403, "pages of other sites may not use this port")
        return None

    def _compressed(self, path: str, headers: Headers) -> Refusal | None:
        encodings = ",".join(headers.getlist("Content-Encoding")).split(",")
        if not {encoding.strip().lower() for encoding in encodings} - {"", "identity"}:
            return None
        # S3 keeps the header with the object, and inflates nothing.
        if not is_gateway(path) and signed_for(headers) == "s3":
            return None
        return Refusal(415, "Content-Encoding: send the body as it is; compressed ones are not read here")


def _only_read(method: str, path: str) -> Refusal | None:
    """Health and counts are for everybody to read. By a POST to health LocalStack restarts or ends itself."""
    return None if method in {"GET", "HEAD"} else Refusal(405, f"{path} takes GET alone")


def is_gateway(path: str) -> bool:
    """Whether the path is one of an API's stage, where the API asks for its own key."""
    return _GATEWAY.match(path) is not None


def signed_for(headers: Headers) -> str | None:
    """The service in the scope of a SigV4 ``Authorization``; None without one. The signature is not checked."""
    values = headers.getlist("Authorization")
    found = _SIGNED.match(values[0]) if len(values) == 1 else None
    return found[1] if found else None


def unsigned(headers: Headers) -> Refusal | None:
    """The refusal of a request for an AWS service that is not signed; links that are signed in their query are not."""
    if signed_for(headers):
        return None
    return Refusal(
        403,
        f"sign the request (SigV4 in Authorization, with any key); only {HEALTH}, {METRICS} and the gateway take "
        "unsigned ones: paths, /_aws/execute-api/<id>/<stage>/",
    )
