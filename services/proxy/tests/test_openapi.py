"""The description against the application: generated requests, good and bad, and all of schemathesis' checks."""

import json
from typing import Any

import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from ingest_proxy.app import create_app
from ingest_proxy.memory import MemoryCluster
from ingest_proxy.settings import ProxySettings
from prometheus_client import CollectorRegistry
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

_settings = ProxySettings(max_records=1000)
_cluster = MemoryCluster(_settings.names, _settings.max_record_bytes)
_app = create_app(_settings, _cluster, _cluster, CollectorRegistry())
schema = schemathesis.openapi.from_wsgi("/openapi.json", _app)
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schema.parametrize()
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_to_its_description(case: schemathesis.Case[Any]) -> None:
    # A record may name a partition only if it is the request's, which the schema cannot say.
    to_partition = case.operation.definition.raw.get("operationId") == "produceToPartition"
    case.call_and_validate(excluded_checks=[positive_data_acceptance] if to_partition else None)


def test_every_route_is_described(app: Flask) -> None:
    document = json.loads(app.test_client().get("/openapi.json").data)
    described = {
        (path.replace("{topic}", "<name>").replace("{partition}", "<int:partition>"), verb.upper())
        for path, item in document["paths"].items()
        for verb in item
        if verb in {"get", "post"}
    }
    routes = {(rule.rule, verb) for rule in app.url_map.iter_rules() for verb in (rule.methods or set()) - {"HEAD"}}
    ops = {(path, "GET") for path in ("/livez", "/readyz", "/version", "/metrics")}
    assert described == routes | ops


def test_topics_are_those_of_the_deployment() -> None:
    cluster = MemoryCluster(ProxySettings(pipeline_id="other").names, 1000)
    app = create_app(ProxySettings(pipeline_id="other"), cluster, cluster, CollectorRegistry())
    document = json.loads(app.test_client().get("/openapi.json").data)
    assert document["components"]["parameters"]["topic"]["schema"]["enum"] == ["other.pin", "other.geo", "other.user"]
