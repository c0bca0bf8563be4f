"""Asks one service by HTTP and JSON, and outlasts its restart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec
import urllib3
from service_kit.retries import RetryPolicy, retry

TIMEOUT_S = 30
NO_OUTAGE = RetryPolicy(deadline_s=0.0)
RESTART = RetryPolicy(deadline_s=120.0, longest_wait_s=1.0)
"""For a service that the runner starts again when it dies."""
_LONGEST_SAID = 500


class ServiceError(RuntimeError):
    """A service cannot be reached, refused a request, or failed at it; the message holds its own words."""


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    body: bytes

    @cached_property
    def document(self) -> Any:
        """The JSON of the body; None where it is something else."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None

    @property
    def said(self) -> str:
        """Why a service refused: its ``message``, or the beginning of the body."""
        message = self.document.get("message") if isinstance(self.document, dict) else None
        return str(message or self.body.decode(errors="replace")[:_LONGEST_SAID])


class HttpClient:
    """One service. ``what`` is its name in messages."""

    def __init__(
        self,
        what: str,
        url: str,
        token: str | None = None,
        outage: RetryPolicy = NO_OUTAGE,
        on_outage: Callable[[], None] = lambda: None,
    ) -> None:
        """``outage`` says how long a request is sent again while nobody answers.

        ``on_outage`` is called before each pause; what it raises ends the waiting.
        """
        self._what = what
        self._url = url
        self._outage = outage
        self._on_outage = on_outage
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._http = urllib3.PoolManager(headers=headers, timeout=TIMEOUT_S, retries=False)

    def ask(self, method: Literal["GET", "POST"], path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One request, sent again while its answer does not come: it must be safe to repeat. Blocks for the outage.

        Raises:
            ServiceError: nobody answered.
        """
        data = None if body is None else msgspec.json.encode(body)
        try:
            answer = retry(
                lambda: self._http.request(method, self._url + path, body=data),
                self._outage,
                urllib3.exceptions.HTTPError,
                lambda _error, _wait: self._on_outage(),
            )
        except urllib3.exceptions.HTTPError as error:
            raise ServiceError(f"{self._what} at {self._url} does not answer: {error}") from error
        return Answer(answer.status, answer.data)
