"""The part of Databricks' Jobs API that starts runs and shows them, as Airflow's provider and the SDK use it.

https://docs.databricks.com/api/workspace/jobs. Versions 2.1 and 2.2 answer alike. Clients that wait without
blocking send ``run_id`` in the body of a GET, so both places are read.
"""

from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Flask, Response, jsonify
from pipeline_contracts.names import Names
from pydantic import SecretStr
from service_kit.web import answer_errors, bears
from werkzeug.exceptions import HTTPException

from batch_analyser.service.arguments import ApiError, arguments
from batch_analyser.service.requests import Document, Given, Requests
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker


def create_app(store: RunStore, worker: Worker, names: Names, token: SecretStr | None, base_url: str) -> Flask:
    """The routes. ``base_url`` is where people reach this service, for links."""
    app = Flask("batch_analyser")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the reference's order is easier to read
    requests = Requests(store, worker, names, base_url)
    for version in ("2.2", "2.1"):
        app.register_blueprint(_routes(requests, version), url_prefix=f"/api/{version}/jobs")

    @app.get("/runs/<int:run_id>")
    def run_page(run_id: int) -> Response:
        return jsonify(requests.get_run({"run_id": run_id}))

    @app.before_request
    def authenticate() -> None:
        if token is not None and not bears(token):
            raise ApiError(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", "send 'Authorization: Bearer <ANALYSER_TOKEN>'")

    @app.errorhandler(ApiError)
    def api_error(error: ApiError) -> tuple[Response, int]:
        return jsonify(error_code=error.code, message=str(error)), error.status

    answer_errors(app, _http_error)
    return app


def _http_error(error: HTTPException) -> Response:
    code = "ENDPOINT_NOT_FOUND" if error.code == 404 else "BAD_REQUEST"
    answer = jsonify(error_code=code, message=error.description)
    answer.status_code = error.code or 500
    return answer


def _routes(requests: Requests, version: str) -> Blueprint:
    routes = Blueprint(f"jobs_{version.replace('.', '_')}", __name__)
    answers: dict[tuple[str, str], Callable[[Given], Document]] = {
        ("GET", "/list"): requests.list_jobs,
        ("GET", "/get"): requests.get_job,
        ("POST", "/run-now"): requests.run_now,
        ("POST", "/runs/submit"): requests.submit,
        ("GET", "/runs/get"): requests.get_run,
        ("GET", "/runs/list"): requests.list_runs,
        ("GET", "/runs/get-output"): requests.get_output,
        ("POST", "/runs/cancel"): requests.cancel,
        ("POST", "/runs/cancel-all"): requests.cancel_all,
    }
    for (method, path), answer in answers.items():
        routes.add_url_rule(path, endpoint=path.replace("/", "_"), view_func=_answering(answer), methods=[method])
    return routes


def _answering(answer: Callable[[Given], Document]) -> Callable[[], Response]:
    return lambda: jsonify(answer(arguments()))
