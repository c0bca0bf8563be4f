"""Reads a request's arguments: numbers that arrive as texts, and GETs with a body."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from flask import request

_LONGEST_TOKEN: Final = 64


class ApiError(Exception):
    """An answer that is an error: status, Databricks' code, and what is wrong."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def invalid(message: str) -> ApiError:
    """An argument is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)


def arguments() -> Mapping[str, Any]:
    """The query, and the JSON object of the body where there is one.

    Raises:
        ApiError: the body is something else.
    """
    body = request.get_json(silent=True, force=True) if request.content_length else None
    if request.content_length and not isinstance(body, dict):
        raise ApiError(HTTPStatus.BAD_REQUEST, "MALFORMED_REQUEST", "The body must be a JSON object.")
    return {**request.args.to_dict(), **(body or {})}


def integer(given: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A whole number. The rest of this module raises ``ApiError``, too."""
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise invalid(f"Missing required field: {name}")
    try:
        return int(value)
    except ValueError:
        raise invalid(f"'{name}' must be a whole number, not {value!r}.") from None


def within(given: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A whole number from 1 to ``most``."""
    value = integer(given, name, default)
    if not 1 <= value <= most:
        raise invalid(f"'{name}' must be between 1 and {most}, not {value}.")
    return value


def switch(given: Mapping[str, Any], name: str) -> bool:
    """A truth value, false where it is absent; ``true`` as a text, too."""
    value = given.get(name, False)
    if str(value).lower() not in {"true", "false"}:
        raise invalid(f"'{name}' must be true or false, not {value!r}.")
    return str(value).lower() == "true"


def texts(given: Mapping[str, Any], name: str) -> dict[str, str]:
    """An object of texts; numbers in it become texts."""
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object of texts.")
    return {str(key): str(inner) for key, inner in value.items()}


def items(given: Mapping[str, Any], name: str) -> Sequence[Any]:
    """A list, empty where it is absent."""
    value = given.get(name) or []
    if not isinstance(value, list):
        raise invalid(f"'{name}' must be a list.")
    return value


def idempotency_token(given: Mapping[str, Any]) -> str | None:
    """The token of a run that is to be started once."""
    token = given.get("idempotency_token")
    if token is not None and (not isinstance(token, str) or not 0 < len(token) <= _LONGEST_TOKEN):
        raise invalid(f"'idempotency_token' must be a text of 1 to {_LONGEST_TOKEN} characters.")
    return token
