"""The Flask application."""

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Flask, Response
from pipeline_contracts.proxy import ErrorAnswer
from prometheus_client import CollectorRegistry
from service_kit.hosts import for_hosts
from service_kit.ops import NotReadyError, Ops
from service_kit.web import answer_errors
from werkzeug.exceptions import HTTPException

from ingest_proxy.errors import ProxyError, UnavailableError
from ingest_proxy.ingest import Ingest
from ingest_proxy.metrics import Metrics
from ingest_proxy.producer import Sender
from ingest_proxy.routes import kafka_rest
from ingest_proxy.settings import ProxySettings
from ingest_proxy.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def create_app(settings: ProxySettings, topics: Topics, sender: Sender, registry: CollectorRegistry) -> Flask:
    """The proxy over any ``Topics`` and ``Sender``, with the operational routes in front."""
    app = Flask("ingest_proxy", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    metrics = Metrics(registry, settings.names.topics)
    ingest = Ingest(topics, sender, settings.send_timeout_s, settings.retry_after_s)
    app.register_blueprint(kafka_rest(settings, topics, ingest, metrics))
    description = openapi(settings)
    app.add_url_rule("/openapi.json", "openapi", lambda: Response(description, content_type="application/json"))
    app.register_error_handler(ProxyError, _proxy_error)
    answer_errors(app, _http_error)
    ops = Ops("proxy", {"kafka": lambda: _ready(settings, topics)}, registry)
    served = ops.in_front_of(metrics.around(app.wsgi_app))
    named = for_hosts(settings.allowed_hosts, served)
    app.wsgi_app = _below(settings.path_prefix, named)  # type: ignore[assignment, method-assign]
    return app


def _below(prefix: str, served: "WSGIApplication") -> "WSGIApplication":
    """Serve each path with the prefix before it, too.

    API Gateway puts the stage there when it sends through a VPC link; the load balancer's health checks do not.
    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/private-integration.html (Considerations).
    """
    if not prefix:
        return served

    def without_prefix(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        path = environ.get("PATH_INFO", "")
        if path.startswith(f"{prefix}/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
            environ["PATH_INFO"] = path.removeprefix(prefix)
        return served(environ, start_response)

    return without_prefix


def openapi(settings: ProxySettings) -> bytes:
    """The description of this deployment's API: the written one, with its topics filled in."""
    text = resources.files("ingest_proxy").joinpath("openapi.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    document["components"]["parameters"]["topic"]["schema"]["enum"] = list(settings.names.topics)
    return json.dumps(document, ensure_ascii=False).encode()


def _ready(settings: ProxySettings, topics: Topics) -> str:
    try:
        known = topics.latest().topics
    except UnavailableError as error:
        raise NotReadyError(error.message) from error
    missing = sorted(set(settings.names.topics) - set(known))
    if missing:
        raise NotReadyError(f"Kafka has no topic {', '.join(missing)}")
    return f"{len(known)} topics"


def _proxy_error(error: ProxyError) -> Response:
    answer = _error(error.status, error.code, error.message)
    answer.headers.extend(error.headers)
    return answer


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    return _error(status, status, error.name)


def _error(status: int, code: int, message: str) -> Response:
    body = msgspec.json.encode(ErrorAnswer(code, message))
    return Response(body, status, content_type="application/json")
