"""Asks the stream reader: who is popular now, how late records are; and lets a stopped query go on."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
import urllib3

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class ReaderError(RuntimeError):
    """The stream reader cannot be reached, or refused the request; the message holds its own words."""


class ReaderClient:
    """One stream reader.

    Raises:
        ReaderError: from every method.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(headers={"Authorization": f"Bearer {token}"}, timeout=30, retries=False)

    def popular(self, limit: int, filters: Mapping[str, str]) -> dict[str, Any]:
        """The most popular profiles first, overall or of one ``category``, ``country`` or ``age_group``."""
        return self._call("GET", f"/v1/profiles/popular?{urlencode({'limit': limit, **filters})}")

    def latencies(self) -> dict[str, Any]:
        """Milliseconds from arrival in the stream to the ``table`` and to the ``popularity`` answer, p50 and p95."""
        return self._call("GET", "/v1/latencies")

    def resume(self, kind: str) -> dict[str, Any]:
        """Let the query of one kind, which rejects had stopped, go on."""
        return self._call("POST", f"/v1/queries/{kind}/resume")

    def _call(self, method: Literal["GET", "POST"], path: str) -> dict[str, Any]:
        try:
            answer = self._http.request(method, self._url + path)
        except urllib3.exceptions.HTTPError as error:
            raise ReaderError(f"the stream reader at {self._url} does not answer: {error}") from error
        try:
            document = _decode_object(answer.data or b"{}")
        except msgspec.MsgspecError:
            document = {}
        if answer.status >= 300:
            said = document.get("message") or answer.data.decode(errors="replace")[:500]
            raise ReaderError(f"{method} {path}: {answer.status} {said}")
        return document
