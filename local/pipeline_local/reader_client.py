"""Asks the stream reader: who is popular now, how late records are; and lets a stopped query go on."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from pipeline_local.http_client import HttpClient, ServiceError


class ReaderClient:
    """One stream reader.

    Raises:
        ServiceError: from every method.
    """

    def __init__(self, url: str, token: str) -> None:
        self._http = HttpClient("the stream reader", url, token)

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
        answer = self._http.ask(method, path)
        if answer.status >= 300:
            raise ServiceError(f"{method} {path}: {answer.status} {answer.said}")
        document: dict[str, Any] = answer.document or {}
        return document
