"""What an error of the AWS client means for a reader."""

from typing import Literal

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's, which is no OSError
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

Failure = Literal["transient", "expired", "missing", "invalid", "fatal"]
"""``transient``: try again later. ``expired``: get a new iterator. ``missing``: no such stream or shard (now).
``invalid``: Kinesis does not accept this iterator or position. ``fatal``: retrying does not help."""

CLIENT_ERRORS = (ClientError, BotoCoreError, ResponseParserError)

_PASSING = (
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
)
_CODES: dict[str, Failure] = {
    "ExpiredIteratorException": "expired",
    "ResourceNotFoundException": "missing",
    "InvalidArgumentException": "invalid",
    "ValidationException": "invalid",
    "ProvisionedThroughputExceededException": "transient",
    "LimitExceededException": "transient",
    "ExpiredNextTokenException": "transient",  # a listing that took over 300 s; it is begun anew
    "ResourceInUseException": "transient",
    "KMSThrottlingException": "transient",
    "ThrottlingException": "transient",
    "Throttling": "transient",
    "RequestLimitExceeded": "transient",
    "InternalFailure": "transient",
    "InternalFailureException": "transient",
    "ServiceUnavailable": "transient",
    "RequestTimeout": "transient",
    "RequestExpired": "transient",
}


def classify(error: Exception) -> Failure:
    """What to do about an error of ``CLIENT_ERRORS``."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _CODES:
            return _CODES[code]
        # A number instead of a code: something in between answered, or a server that is still starting.
        return "transient" if status >= 500 or code.isdigit() or not code else "fatal"
    return "transient" if isinstance(error, _PASSING) else "fatal"


def timed_out(error: Exception) -> bool:
    """Whether the server took the request and did not answer."""
    return isinstance(error, ReadTimeoutError)
