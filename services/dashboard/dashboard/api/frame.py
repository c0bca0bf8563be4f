"""What all resources share: parameters that are checked, JSON that browsers may keep, errors."""

import json
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request
from pipeline_contracts.proxy import ErrorAnswer
from service_kit.inert import visible

from dashboard.blocks import Block
from dashboard.words import iso


class RefusedError(Exception):
    """A request that cannot be answered: its status, and what is wrong with it. Pages say the same."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def parameters(*known: str) -> dict[str, str]:
    """The query string; each parameter once, and none that means nothing here. For pages, too.

    Raises:
        RefusedError: with 400.
    """
    given = request.args.to_dict(flat=False)
    for name, values in given.items():
        if name not in known:
            raise bad(f"there is no parameter {name!r}" + (f"; there are {', '.join(known)}" if known else ""))
        if len(values) > 1:
            raise bad(f"the parameter {name} is given {len(values)} times")
    return {name: values[0] for name, values in given.items()}


def whole(given: Mapping[str, str], name: str, default: int, most: int, least: int = 1) -> int:
    """A whole number between ``least`` and ``most``.

    Raises:
        RefusedError: with 400.
    """
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and least <= int(text) <= most):
        raise bad(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def one_of(given: Mapping[str, str], name: str, default: str, choices: Collection[str]) -> str:
    """One of the ``choices``; the ``default`` where it is not given.

    Raises:
        RefusedError: with 400.
    """
    text = given.get(name, default)
    if text not in choices and text != default:
        raise bad(f"{name} must be one of {', '.join(choices)}, not {text!r}")
    return text


def bad(message: str) -> RefusedError:
    """400."""
    return RefusedError(HTTPStatus.BAD_REQUEST, message)


def missing(message: str) -> RefusedError:
    """404."""
    return RefusedError(HTTPStatus.NOT_FOUND, message)


def described(block: Block[Any]) -> dict[str, Any]:
    """A block without its value, as all documents begin."""
    return {"state": block.state, "as_of": None if block.as_of is None else iso(block.as_of), "why": block.why}


def answer(document: Mapping[str, Any], etag: str | None = None) -> Response:
    """The document as JSON; 304 where the browser has this ``etag`` already. Data is exact."""
    # Half a character, as names of files and JSON can hold, is no UTF-8; an escape of it is JSON.
    body = json.dumps(document, ensure_ascii=False).encode(errors="backslashreplace")
    response = Response(body, content_type="application/json")
    if etag is not None:
        response.set_etag(etag)
        response.make_conditional(request)
    return response


def error(status: int, message: str) -> Response:
    """An error as JSON."""
    body = msgspec.json.encode(ErrorAnswer(int(status), visible(message)))
    return Response(body, int(status), content_type="application/json")
