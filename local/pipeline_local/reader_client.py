"""Asks the stream reader: who is popular now, how late records are."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pipeline_local.http_client import HttpClient, ServiceError


class ReaderClient:
    """One stream reader.

    Raises:
        ServiceError: from every method.
    """

    def __init__(self, url: str) -> None:
        self._http = HttpClient("the stream reader", url)

    def popular(self, limit: int, filters: Mapping[str, str]) -> dict[str, Any]:
        """The most popular profiles first, overall or of one ``category``, ``country`` or ``age_group``."""
        return self._get(f"/v1/profiles/popular?{urlencode({'limit': limit, **filters})}")

    def latencies(self) -> dict[str, Any]:
        """Milliseconds from arrival in the stream to the ``table`` and to the ``popularity`` answer, p50 and p95."""
        return self._get("/v1/latencies")

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._http.ask("GET", path)
        if answer.status >= 300:
            raise ServiceError(f"GET {path}: {answer.status} {answer.said}")
        document: dict[str, Any] = answer.document or {}
        return document
