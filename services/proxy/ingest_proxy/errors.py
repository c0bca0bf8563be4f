"""What can be wrong with a request, and what its sender can do.

Each error is one answer of ``docs/wire.md``: a status, an ``error_code`` (the status unless the table says
otherwise) and a message. 4xx: change the request. 503: nothing is known to be stored; send the same again.
"""

from collections.abc import Mapping
from typing import ClassVar


class ProxyError(Exception):
    """Base of all answers that are not the one asked for."""

    status: ClassVar[int] = 500
    code: ClassVar[int] = 500

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})


class BadRequestError(ProxyError):
    """The body is not UTF-8, not JSON, or was cut off."""

    status = code = 400


class TopicNotFoundError(ProxyError):
    """Not one of this deployment's event topics."""

    status, code = 404, 40401

    def __init__(self, topic: str) -> None:
        super().__init__(f"Topic not found: {topic}")


class PartitionNotFoundError(ProxyError):
    """The topic has no such partition."""

    status, code = 404, 40402

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(f"Partition not found: {partition} of {topic}")


class NotAcceptableError(ProxyError):
    """``Accept`` names no type that is served here."""

    status = code = 406


class TooLargeError(ProxyError):
    """The body is over the limit; it was not read."""

    status = code = 413


class UnsupportedMediaTypeError(ProxyError):
    """``Content-Type`` or ``Content-Encoding`` is none that is read here."""

    status = code = 415


class InvalidEnvelopeError(ProxyError):
    """JSON, but not a produce request. Nothing of it was written."""

    status = code = 422


class KeySchemaMissingError(ProxyError):
    """Keys in a format that needs a schema, without one."""

    status, code = 422, 42201


class ValueSchemaMissingError(ProxyError):
    """Values in a format that needs a schema, without one."""

    status, code = 422, 42202


class UnavailableError(ProxyError):
    """The broker is away or full, or the outcome is unknown: send the same request again, after a pause."""

    status = code = 503

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message, {"Retry-After": str(retry_after_s)})
