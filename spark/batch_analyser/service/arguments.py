"""Reads a request's arguments: numbers that arrive as texts, GETs with a body, and no field that is not known."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from flask import request

from batch_analyser.service.fields import Fields

MOST_BODY_BYTES: Final = 1024 * 1024
_LONGEST_TOKEN: Final = 64
_LONGEST_NAME: Final = 4096
_LARGEST: Final = 2**63 - 1
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class ApiError(Exception):
    """An answer that is an error: status, Databricks' code, and what is wrong."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def invalid(message: str) -> ApiError:
    """An argument is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)


def arguments(fields: Fields) -> Mapping[str, Any]:
    """The query of a GET, and the JSON object of the body where there is one. A field that is null is absent.

    What changes something is told in the body alone, as ``application/json``: no page of another site can have a
    browser send that.

    Raises:
        ApiError: the body is something else, or a field is not one of the call's.
    """
    if request.method != "GET" and request.args:
        raise invalid(f"'{next(iter(request.args))}' must be in the body.")
    if doubled := [name for name, values in request.args.lists() if len(values) > 1]:
        raise invalid(f"'{doubled[0]}' is in the query twice.")
    given = {**request.args.to_dict(), **_body()}
    if unknown := fields.why_not(given):
        raise invalid(unknown)
    return {name: value for name, value in given.items() if value is not None}


def _body() -> dict[str, Any]:
    body = request.get_data()
    if request.mimetype != "application/json" and (body or request.method != "GET"):
        said = f"not {request.mimetype!r}" if request.mimetype else "and the header Content-Type is absent"
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "MALFORMED_REQUEST", f"The body must be application/json, {said}."
        )
    if not body:
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(HTTPStatus.BAD_REQUEST, "MALFORMED_REQUEST", f"The body is not JSON: {said}.") from None
    if not isinstance(found, dict):
        raise ApiError(HTTPStatus.BAD_REQUEST, "MALFORMED_REQUEST", "The body must be a JSON object.")
    return found


def integer(given: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A whole number that 64 bits hold. The rest of this module raises ``ApiError``, too."""
    value = given.get(name, default)
    if value is None:
        raise invalid(f"Missing required field: {name}")
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        number = int(value)
    if number is None or not -_LARGEST <= number <= _LARGEST:
        raise invalid(f"'{name}' must be a whole number of at most 63 bits, not {shown(value)}.")
    return number


def within(given: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A whole number from 1 to ``most``, which 0 stands for, as in the reference."""
    value = integer(given, name, default)
    if not 0 <= value <= most:
        raise invalid(f"'{name}' must be between 0 and {most}, not {value}.")
    return value or most


def switch(given: Mapping[str, Any], name: str) -> bool:
    """A truth value, false where it is absent; ``true`` as a text, too."""
    value = given.get(name, False)
    if not isinstance(value, bool | str) or str(value).lower() not in {"true", "false"}:
        raise invalid(f"'{name}' must be true or false, not {shown(value)}.")
    return str(value).lower() == "true"


def text(given: Mapping[str, Any], name: str, default: str | None = None) -> str | None:
    """A text of at most 4,096 characters."""
    value = given.get(name, default)
    if value is not None and (not isinstance(value, str) or len(value) > _LONGEST_NAME):
        raise invalid(f"'{name}' must be a text of at most {_LONGEST_NAME} characters.")
    return value


def texts(given: Mapping[str, Any], name: str) -> dict[str, str]:
    """An object of texts; numbers and truth values in it become texts."""
    value = given.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(inner, str | int | float) for inner in value.values()):
        raise invalid(f"'{name}' must be an object of texts.")
    return {key: str(inner).lower() if isinstance(inner, bool) else str(inner) for key, inner in value.items()}


def items(given: Mapping[str, Any], name: str) -> Sequence[Any]:
    """A list, empty where it is absent."""
    value = given.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"'{name}' must be a list.")
    return value


def idempotency_token(given: Mapping[str, Any]) -> str | None:
    """The token of a run that is to be started once."""
    token = given.get("idempotency_token")
    if token is not None and (not isinstance(token, str) or not 0 < len(token) <= _LONGEST_TOKEN):
        raise invalid(f"'idempotency_token' must be a text of 1 to {_LONGEST_TOKEN} characters.")
    return token


def shown(value: object) -> str:
    """A value as a message shows it: bounded."""
    said = repr(value)
    return said if len(said) <= 100 else f"{said[:100]}…"
