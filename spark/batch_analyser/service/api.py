"""The part of Databricks' Jobs API that starts runs and shows them, as Airflow's provider and the SDK use it; and
the states of runs (``states``), which need no token.

https://docs.databricks.com/api/workspace/jobs. Versions 2.1 and 2.2 answer alike. Clients that wait without
blocking send ``run_id`` in the body of a GET, so both places are read.
"""

import logging
import sqlite3
from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Flask, Response, jsonify, request
from pipeline_contracts.names import Names
from pydantic import SecretStr
from service_kit.web import answer_errors, bears, knows
from werkzeug.exceptions import HTTPException

from batch_analyser.service import fields
from batch_analyser.service.arguments import MOST_BODY_BYTES, ApiError, arguments
from batch_analyser.service.fields import Fields
from batch_analyser.service.requests import Document, Given, Requests
from batch_analyser.service.states import ENDPOINT as STATES
from batch_analyser.service.states import states
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker

logger = logging.getLogger(__name__)


def create_app(store: RunStore, worker: Worker, names: Names, token: SecretStr | None, base_url: str) -> Flask:
    """The routes. ``base_url`` is where people reach this service, for links."""
    app = Flask("batch_analyser")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the reference's order is easier to read
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES
    requests = Requests(store, worker, names, base_url)
    for version in ("2.2", "2.1"):
        app.register_blueprint(_routes(requests, version), url_prefix=f"/api/{version}/jobs")
    app.register_blueprint(states(store))

    @app.get("/runs/<int:run_id>")
    def run_page(run_id: int) -> Response:
        return jsonify(requests.get_run({"run_id": run_id}))

    @app.before_request
    def authenticate() -> None:
        if token is None or request.endpoint == STATES or bears(token):
            return
        # A browser that follows the link in Airflow asks for a password: any user, and the token.
        on_page = request.endpoint == "run_page"
        if on_page and knows(token):
            return
        asks_for = 'Basic realm="analyser: any user, ANALYSER_TOKEN as password"' if on_page else "Bearer"
        raise UnauthenticatedError(asks_for)

    @app.errorhandler(UnauthenticatedError)
    def unauthenticated(error: UnauthenticatedError) -> tuple[Response, int, dict[str, str]]:
        answer = jsonify(error_code="UNAUTHENTICATED", message="send 'Authorization: Bearer <ANALYSER_TOKEN>'")
        return answer, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": str(error)}

    @app.errorhandler(ApiError)
    def api_error(error: ApiError) -> tuple[Response, int]:
        return jsonify(error_code=error.code, message=str(error)), error.status

    @app.errorhandler(sqlite3.Error)
    def no_runs(error: sqlite3.Error) -> tuple[Response, int]:
        logger.error("runs.sqlite cannot be read or written", extra={"reason": str(error)})
        said = f"runs.sqlite cannot be read or written now: {error}. See the analyser's readiness and log."
        return jsonify(error_code="TEMPORARILY_UNAVAILABLE", message=said), HTTPStatus.SERVICE_UNAVAILABLE

    answer_errors(app, _http_error)
    return app


class UnauthenticatedError(Exception):
    """The token is absent or another; the message is the challenge."""


def _http_error(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    code = "ENDPOINT_NOT_FOUND" if status == HTTPStatus.NOT_FOUND else "BAD_REQUEST"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        code = "INTERNAL_ERROR"
    answer = jsonify(error_code=code, message=error.description)
    answer.status_code = status
    return answer


def _routes(requests: Requests, version: str) -> Blueprint:
    routes = Blueprint(f"jobs_{version.replace('.', '_')}", __name__)
    answers: dict[tuple[str, str], tuple[Fields, Callable[[Given], Document]]] = {
        ("GET", "/list"): (fields.LIST_JOBS, requests.list_jobs),
        ("GET", "/get"): (fields.GET_JOB, requests.get_job),
        ("POST", "/run-now"): (fields.RUN_NOW, requests.run_now),
        ("POST", "/runs/submit"): (fields.SUBMIT, requests.submit),
        ("POST", "/runs/repair"): (fields.REPAIR, requests.repair),
        ("GET", "/runs/get"): (fields.GET_RUN, requests.get_run),
        ("GET", "/runs/list"): (fields.LIST_RUNS, requests.list_runs),
        ("GET", "/runs/get-output"): (fields.ONE_RUN, requests.get_output),
        ("POST", "/runs/cancel"): (fields.ONE_RUN, requests.cancel),
        ("POST", "/runs/cancel-all"): (fields.CANCEL_ALL, requests.cancel_all),
    }
    for (method, path), (taken, answer) in answers.items():
        view = _answering(taken, answer)
        routes.add_url_rule(path, endpoint=path.replace("/", "_"), view_func=view, methods=[method])
    return routes


def _answering(taken: Fields, answer: Callable[[Given], Document]) -> Callable[[], Response]:
    return lambda: jsonify(answer(arguments(taken)))
