"""The part of Databricks' Jobs API that starts runs and shows them, as Airflow's provider and the SDK use it.

https://docs.databricks.com/api/workspace/jobs. Versions 2.1 and 2.2 answer alike. Clients that wait without
blocking send ``run_id`` in the body of a GET, so both places are read.
"""

import hmac
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Flask, Response, jsonify, request
from pydantic import SecretStr
from werkzeug.exceptions import HTTPException

from batch_analyser.jobs.catalogue import TASKS, ParameterError, check_parameters
from batch_analyser.service.store import Run, RunStore
from batch_analyser.service.worker import QueueFullError, Worker

JOB_ID: Final = 1
_LONGEST_TOKEN = 64


class ApiError(Exception):
    """An answer that is an error: status, Databricks' code, and what is wrong."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def create_app(store: RunStore, worker: Worker, job: str, token: SecretStr | None, base_url: str) -> Flask:
    """The routes. ``base_url`` is where people reach this service, for links."""
    app = Flask("batch_analyser")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the reference's order is easier to read
    jobs = _Jobs(store, worker, job, base_url)
    for version in ("2.2", "2.1"):
        app.register_blueprint(_routes(jobs, version), url_prefix=f"/api/{version}/jobs")

    @app.get("/runs/<int:run_id>")
    def run_page(run_id: int) -> Response:
        return jsonify(jobs.run(run_id))

    @app.before_request
    def authenticate() -> None:
        if token is None:
            return
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise ApiError(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", "send 'Authorization: Bearer <ANALYSER_TOKEN>'")

    @app.errorhandler(ApiError)
    def api_error(error: ApiError) -> tuple[Response, int]:
        return jsonify(error_code=error.code, message=str(error)), error.status

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        code = "ENDPOINT_NOT_FOUND" if error.code == 404 else "BAD_REQUEST"
        return jsonify(error_code=code, message=error.description), error.code or 500

    return app


class _Jobs:
    def __init__(self, store: RunStore, worker: Worker, job: str, base_url: str) -> None:
        self._store = store
        self._worker = worker
        self._job = job
        self._base_url = base_url

    def describe(self) -> dict[str, Any]:
        """The one job."""
        chain = [
            {"task_key": task, **({"depends_on": [{"task_key": before}]} if before else {})}
            for before, task in zip((None, *TASKS), TASKS, strict=False)
        ]
        return {
            "job_id": JOB_ID,
            "creator_user_name": "analyser",
            "settings": {"name": self._job, "max_concurrent_runs": 1, "tasks": chain},
            "created_time": 0,
        }

    def listed(self, name: str | None) -> list[dict[str, Any]]:
        """All jobs, or those of one name; case does not matter, as in the reference."""
        return [self.describe()] if name is None or name.lower() == self._job.lower() else []

    def known(self, job_id: int) -> dict[str, Any]:
        """The job of an id."""
        if job_id != JOB_ID:
            raise _invalid(f"Job {job_id} does not exist.")
        return self.describe()

    def run_now(self, body: Mapping[str, Any]) -> dict[str, int]:
        """Queue a run."""
        self.known(_integer(body, "job_id"))
        parameters = body.get("job_parameters") or {}
        only = body.get("only") or []
        token = body.get("idempotency_token")
        if not isinstance(parameters, dict) or not isinstance(only, list):
            raise _invalid("'job_parameters' must be an object of texts and 'only' a list of task keys.")
        if token is not None and (not isinstance(token, str) or not 0 < len(token) <= _LONGEST_TOKEN):
            raise _invalid(f"'idempotency_token' must be a text of 1 to {_LONGEST_TOKEN} characters.")
        if unknown := [task for task in only if task not in TASKS]:
            raise _invalid(f"There is no task {unknown[0]!r}; there are {', '.join(TASKS)}.")
        try:
            checked = check_parameters({str(name): str(value) for name, value in parameters.items()})
            run = self._worker.submit(self._job, only, checked, token)
        except ParameterError as error:
            raise _invalid(str(error)) from error
        except QueueFullError as error:
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "REQUEST_LIMIT_EXCEEDED", str(error)) from error
        return {"run_id": run.run_id, "number_in_job": run.run_id}

    def run(self, run_id: int) -> dict[str, Any]:
        """A run with its tasks."""
        run = self._existing(run_id)
        tasks = self._store.tasks(run.run_id if run.parent_id is None else run.parent_id)
        return {
            "job_id": JOB_ID,
            "run_id": run.run_id,
            "number_in_job": run.run_id,
            "run_name": self._job,
            "run_type": "JOB_RUN",
            "run_page_url": self._page(run),
            **_times(run),
            "state": _state(run),
            "job_parameters": [{"name": name, "value": value} for name, value in run.parameters.items()],
            "tasks": self._tasks(tasks),
        }

    def output(self, run_id: int) -> dict[str, Any]:
        """What a task left: its report as text, or its error."""
        run = self._existing(run_id)
        if run.parent_id is None:
            raise _invalid("A run of several tasks has no output of its own; ask for one of its tasks' run_id.")
        answer: dict[str, Any] = {
            "metadata": {
                "job_id": JOB_ID,
                "run_id": run.run_id,
                "task_key": run.name,
                "run_page_url": self._page(run),
                **_times(run),
                "state": _state(run),
            }
        }
        if run.output is not None:
            answer |= {"logs": run.output, "logs_truncated": False}
        if run.error is not None:
            answer["error"] = run.error
        return answer

    def _tasks(self, tasks: Sequence[Run]) -> list[dict[str, Any]]:
        return [
            {
                "run_id": task.run_id,
                "task_key": task.name,
                **({"depends_on": [{"task_key": before.name}]} if before else {}),
                "attempt_number": 0,
                "run_page_url": self._page(task),
                **_times(task),
                "state": _state(task),
            }
            for before, task in zip((None, *tasks), tasks, strict=False)
        ]

    def _existing(self, run_id: int) -> Run:
        run = self._store.get(run_id)
        if run is None:
            raise _invalid(f"Run {run_id} does not exist.")
        return run

    def _page(self, run: Run) -> str:
        return f"{self._base_url}/runs/{run.run_id}"


def _routes(jobs: _Jobs, version: str) -> Blueprint:
    routes = Blueprint(f"jobs_{version.replace('.', '_')}", __name__)

    @routes.get("/list")
    def list_jobs() -> Response:
        return jsonify(jobs=jobs.listed(_arguments().get("name")), has_more=False)

    @routes.get("/get")
    def get_job() -> Response:
        return jsonify(jobs.known(_integer(_arguments(), "job_id")))

    @routes.post("/run-now")
    def run_now() -> Response:
        return jsonify(jobs.run_now(_arguments()))

    @routes.get("/runs/get")
    def get_run() -> Response:
        return jsonify(jobs.run(_integer(_arguments(), "run_id")))

    @routes.get("/runs/get-output")
    def get_output() -> Response:
        return jsonify(jobs.output(_integer(_arguments(), "run_id")))

    return routes


def _arguments() -> Mapping[str, Any]:
    """The query, and the JSON object of the body where there is one."""
    body = request.get_json(silent=True, force=True) if request.content_length else None
    if request.content_length and not isinstance(body, dict):
        raise ApiError(HTTPStatus.BAD_REQUEST, "MALFORMED_REQUEST", "The body must be a JSON object.")
    return {**request.args.to_dict(), **(body or {})}


def _integer(arguments: Mapping[str, Any], name: str) -> int:
    """Numbers may arrive as texts."""
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _invalid(f"Missing required field: {name}")
    try:
        return int(value)
    except ValueError:
        raise _invalid(f"'{name}' must be a whole number, not {value!r}.") from None


def _invalid(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)


def _state(run: Run) -> dict[str, Any]:
    state: dict[str, Any] = {"life_cycle_state": run.life_cycle, "state_message": run.message}
    if run.result is not None:
        state["result_state"] = run.result
    return state


def _times(run: Run) -> dict[str, int]:
    """0 stands for "not yet", as in the reference."""
    start, end = run.started_ms or 0, run.ended_ms or 0
    return {
        "start_time": start,
        "end_time": end,
        "execution_duration": end - start if end else 0,
        "setup_duration": 0,
        "cleanup_duration": 0,
    }
