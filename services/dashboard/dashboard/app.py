"""The Flask application: what every page and resource has in common. What they show comes in as blueprints."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Flask, Response, render_template, request, send_from_directory
from jinja2 import StrictUndefined
from prometheus_client import CollectorRegistry
from service_kit.clock import Clock
from service_kit.hosts import for_hosts
from service_kit.ops import Check, Ops
from service_kit.web import answer_errors
from werkzeug.exceptions import HTTPException

from dashboard import words
from dashboard.api.description import description
from dashboard.api.frame import RefusedError, answer, error
from dashboard.background import Attention
from dashboard.privacy import Privacy
from dashboard.security import secured

SERVICE: Final = "dashboard"
PAGES: Final = {
    "/": "Overview",
    "/answers": "Answers",
    "/popular": "Popular",
    "/records": "Records",
    "/audit": "Audit",
}
"""The pages that lead to all others, in the order of the navigation."""
HTML: Final = "text/html; charset=utf-8"
_ALWAYS_THERE: Final = {"/livez", "/readyz", "/version", "/metrics", "/openapi.json"}


@dataclass(frozen=True)
class Frame:
    """What the application needs beside its pages."""

    pipeline_id: str
    clock: Clock
    privacy: Privacy
    attention: Attention
    allowed_hosts: str = ""
    airflow_page: str | None = None


def create_app(
    frame: Frame, blueprints: Iterable[Blueprint], checks: dict[str, Check], registry: CollectorRegistry
) -> Flask:
    """The pages and resources of ``blueprints``, the operational routes in front; GET and HEAD only."""
    app = Flask("dashboard", static_folder=None)
    app.jinja_options = {**app.jinja_options, "finalize": words.inert, "undefined": StrictUndefined}
    app.jinja_options |= {"trim_blocks": True, "lstrip_blocks": True}
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # by a redirect to whatever host the request names
    _add_words(app, frame)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    static = Path(app.root_path) / "static"
    app.add_url_rule("/static/<path:name>", "static", lambda name: send_from_directory(static, name), methods=["GET"])
    app.add_url_rule("/favicon.ico", "favicon", lambda: send_from_directory(static, "icon.svg"), methods=["GET"])
    described = {rule.rule.replace("<", "{").replace(">", "}") for rule in app.url_map.iter_rules()}
    document = description(described | _ALWAYS_THERE)
    app.add_url_rule("/openapi.json", "openapi", lambda: answer(document), methods=["GET"])
    app.before_request(lambda: _seen(frame.attention))
    app.register_error_handler(RefusedError, lambda refused: _refuse(int(refused.status), str(refused)))
    answer_errors(app, _http_error)
    served = Ops(SERVICE, checks, registry).in_front_of(app.wsgi_app)
    app.wsgi_app = secured(for_hosts(frame.allowed_hosts, served))  # type: ignore[assignment, method-assign]
    return app


def _seen(attention: Attention) -> None:
    if not request.path.startswith("/static/"):
        attention.seen()


def _add_words(app: Flask, frame: Frame) -> None:
    app.add_template_filter(words.lines, "lines")
    app.add_template_filter(words.number, "number")
    app.add_template_filter(words.rate, "rate")
    app.add_template_filter(words.age, "age")
    app.add_template_filter(words.iso, "iso")
    app.add_template_filter(words.exact, "exact")
    app.add_template_filter(words.shortened, "shortened")
    app.add_template_filter(lambda at: words.moment(at, frame.clock.now()), "moment")
    app.add_template_filter(lambda at: (frame.clock.now() - at).total_seconds(), "seconds_ago")

    def common() -> dict[str, Any]:
        return {
            "pages": PAGES,
            "here": request.path,
            "now": frame.clock.now(),
            "pipeline_id": frame.pipeline_id,
            "airflow_page": frame.airflow_page,
            "shows_personal": frame.privacy.shows_personal(request.headers),
            "how_to_show": frame.privacy.how_to_show,
        }

    app.context_processor(common)


def _http_error(problem: HTTPException) -> Response:
    return _refuse(problem.code or 500, problem.name)


def _refuse(status: int, message: str) -> Response:
    if request.path.startswith("/api/") or request.path == "/openapi.json":
        return error(status, message)
    return Response(render_template("refused.html", status=status, message=message), status, content_type=HTML)
