"""HTTP to the gateway: keep-alive connections, no retries of its own, every answer handed back as it is."""

import re
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec
import urllib3

from emitter.errors import TransportError

_CONNECT_S = 5.0


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """One request, one answer. Safe to use from several threads."""

    def request(self, method: Literal["GET", "POST", "PUT"], path: str, body: bytes, content_type: str) -> Answer:
        """Blocks until the answer is here or the time-out has passed.

        Raises:
            TransportError: there is no answer; whether the request arrived is unknown.
        """


class HttpTransport:
    """Requests below one base URL; the key goes into every request and into no log."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, connections: int) -> None:
        self._base = base_url
        self._headers = {"Accept-Encoding": "identity"} | ({} if api_key is None else {"x-api-key": api_key})
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
        )

    def request(self, method: Literal["GET", "POST", "PUT"], path: str, body: bytes, content_type: str) -> Answer:
        """See ``Transport``."""
        headers = self._headers | ({"Content-Type": content_type} if body else {})
        try:
            answer = self._pool.request(
                method, f"{self._base}{path}", body=body or None, headers=headers, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise TransportError(f"no answer from {self._base}: {_plain(error)}") from error
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()


def _plain(error: urllib3.exceptions.HTTPError) -> str:
    """The cause without the library's object addresses."""
    text = re.sub(r"^.*?(?:>|\)): ", "", str(error))
    return text or type(error).__name__
