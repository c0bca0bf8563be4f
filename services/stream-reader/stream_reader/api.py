"""HTTP in, HTTP out: who is popular now, and the state of the queries."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Any, Final

import msgspec
from flask import Flask, Response, request
from pipeline_contracts.names import Kind
from pipeline_contracts.proxy import ErrorAnswer
from pipeline_transforms.ages import AGE_GROUPS
from service_kit.clock import Clock
from service_kit.web import answer_errors
from werkzeug.exceptions import HTTPException

from stream_reader.latency import Latencies
from stream_reader.popularity.index import Index, timestamp
from stream_reader.popularity.scores import CELL
from stream_reader.queries.query import StreamQuery

DEFAULT_LIMIT: Final = 20
DEFAULT_FACETS: Final = 300
MAX_LIMIT: Final = 1_000
_OPERATIONS: Final = {"/v1/queries", "/v1/latencies"}


class ApiError(Exception):
    """An answer that is an error: its status and what is wrong."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Operations:
    """What the process that reads the streams tells of itself."""

    queries: Mapping[Kind, StreamQuery]
    latencies: Mapping[str, Latencies]


def create_app(index: Index, clock: Clock, operations: Operations | None = None) -> Flask:
    """The routes over what the service's threads keep up to date; nothing here waits for Spark or a table.

    Without ``operations`` those of the profiles alone.
    """
    app = Flask("stream_reader", static_folder=None)
    routes: dict[str, Callable[[], Response]] = {
        "/v1/profiles/popular": lambda: _popular(index, clock),
        "/v1/profiles": lambda: _profile(index, clock),
        "/v1/facets": lambda: _facets(index, clock),
    }
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    description = msgspec.json.decode(resources.files("stream_reader").joinpath("openapi.json").read_bytes())
    if operations is None:
        description["paths"] = {path: item for path, item in description["paths"].items() if path not in _OPERATIONS}
    else:
        queries, latencies = operations.queries, operations.latencies
        routes["/v1/queries"] = lambda: _queries(queries)
        routes["/v1/latencies"] = lambda: _latencies(latencies)
    document = msgspec.json.encode(description)
    routes["/openapi.json"] = lambda: Response(document, content_type="application/json")
    for path, view in routes.items():
        app.add_url_rule(path, path, view, methods=["GET"])
    app.register_error_handler(ApiError, lambda error: _error(error.status, str(error)))
    answer_errors(app, _http_error)
    return app


def _popular(index: Index, clock: Clock) -> Response:
    given = _parameters("limit", *CELL)
    only = {name: value for name, value in given.items() if name in CELL and value}
    group = only.get("age_group")
    if group is not None and group not in AGE_GROUPS:
        raise _bad(f"age_group must be one of {', '.join(AGE_GROUPS)} (a + is written %2B), not {group!r}")
    now = clock.now()
    profiles = index.popular(now, _limit(given.get("limit")), only)
    return _json({"as_of": timestamp(now), "half_life_s": index.half_life_s, "profiles": profiles})


def _profile(index: Index, clock: Clock) -> Response:
    name = _parameters("name").get("name", "")
    if not name:
        raise _bad("the parameter name is missing: /v1/profiles?name=…")
    now = clock.now()
    found = index.get(name, now)
    if found is None:
        raise ApiError(HTTPStatus.NOT_FOUND, "there is no profile of this name")
    return _json({"as_of": timestamp(now), "half_life_s": index.half_life_s, **found})


def _facets(index: Index, clock: Clock) -> Response:
    limit = _limit(_parameters("limit").get("limit"), DEFAULT_FACETS)
    facets = {
        key: {
            "values": [{"value": value, "profiles": profiles} for value, profiles in found.values],
            "left_out": found.left_out,
        }
        for key, found in index.facets(limit).items()
    }
    return _json({"as_of": timestamp(clock.now()), "profiles": len(index), "facets": facets})


def _queries(queries: Mapping[Kind, StreamQuery]) -> Response:
    _parameters()
    return _json({"queries": [query.described() for query in queries.values()]})


def _latencies(latencies: Mapping[str, Latencies]) -> Response:
    _parameters()
    return _json({stage: kept.described() for stage, kept in latencies.items()})


def _parameters(*known: str) -> dict[str, str]:
    """The query string; each parameter once, and none that means nothing here."""
    given = request.args.to_dict(flat=False)
    for name, values in given.items():
        if name not in known:
            raise _bad(f"there is no parameter {name!r}" + (f"; there are {', '.join(known)}" if known else ""))
        if len(values) > 1:
            raise _bad(f"the parameter {name} is given {len(values)} times")
    return {name: values[0] for name, values in given.items()}


def _limit(text: str | None, default: int = DEFAULT_LIMIT) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_LIMIT):
        raise _bad(f"limit must be a whole number from 1 to {MAX_LIMIT}, not {text!r}")
    return int(text)


def _bad(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, message)


def _http_error(error: HTTPException) -> Response:
    return _error(error.code or 500, error.name)


def _error(status: int, message: str) -> Response:
    body = msgspec.json.encode(ErrorAnswer(int(status), message))
    return Response(body, int(status), content_type="application/json")


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document, ensure_ascii=False), content_type="application/json")
