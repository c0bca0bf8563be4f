"""HTTP in, HTTP out: Kafka REST v2, the produce half and metadata (``docs/wire.md``)."""

from typing import Any

import msgspec
from flask import Blueprint, Response, request
from pipeline_contracts.proxy import TOPIC_ID_HEADER, ProduceAnswer, ProducedRecord

from ingest_proxy.body import read_body
from ingest_proxy.envelope import parse, refuse_without_schema
from ingest_proxy.errors import PartitionNotFoundError, TopicNotFoundError
from ingest_proxy.ingest import Ingest
from ingest_proxy.media import answer_type, body_format, unsupported
from ingest_proxy.metrics import Metrics
from ingest_proxy.settings import ProxySettings
from ingest_proxy.topics import Topic, Topics

_encode = msgspec.json.encode


def kafka_rest(settings: ProxySettings, topics: Topics, ingest: Ingest, metrics: Metrics) -> Blueprint:
    """The routes over one cluster. Only this deployment's event topics exist for them."""
    routes = Blueprint("kafka_rest", __name__)
    served = settings.names.topics

    @routes.post("/topics/<name>")
    def produce(name: str) -> Response:
        return _produce(name, None)

    @routes.post("/topics/<name>/partitions/<int:partition>")
    def produce_to_partition(name: str, partition: int) -> Response:
        return _produce(name, partition)

    def _produce(name: str, partition: int | None) -> Response:
        if name not in served:
            raise TopicNotFoundError(name)
        environ = request.environ
        accepted = answer_type(environ.get("HTTP_ACCEPT"))
        content_type = environ.get("CONTENT_TYPE")
        embedded = body_format(content_type)
        body = read_body(environ, settings.max_body_bytes)
        metrics.received(name, len(body))
        if embedded == "schema":
            refuse_without_schema(body, settings.max_records)
            raise unsupported(content_type or "")
        produced = ingest.produce(name, parse(body, embedded, settings.max_records), partition)
        metrics.produced(name, produced.outcomes)
        answer = _answer(produced.outcomes, accepted, status=422 if produced.refused else 200)
        answer.headers[TOPIC_ID_HEADER] = produced.log_id
        return answer

    @routes.get("/topics")
    def list_topics() -> Response:
        accepted = answer_type(request.environ.get("HTTP_ACCEPT"))
        return _json(sorted(topics.read_now().topics), accepted)

    @routes.get("/topics/<name>")
    def get_topic(name: str) -> Response:
        accepted, topic = _found(name)
        configs = topics.configuration(name)
        return _json({"name": name, "configs": configs, "partitions": topic.partitions}, accepted)

    @routes.get("/topics/<name>/partitions")
    def list_partitions(name: str) -> Response:
        accepted, topic = _found(name)
        return _json(topic.partitions, accepted)

    @routes.get("/topics/<name>/partitions/<int:partition>")
    def get_partition(name: str, partition: int) -> Response:
        accepted, topic = _found(name, partition)
        return _json(next(found for found in topic.partitions if found.partition == partition), accepted)

    @routes.get("/topics/<name>/partitions/<int:partition>/offsets")
    def get_offsets(name: str, partition: int) -> Response:
        accepted, _ = _found(name, partition)
        first, end = topics.offsets(name, partition)
        return _json({"beginning_offset": first, "end_offset": end}, accepted)

    @routes.get("/brokers")
    def list_brokers() -> Response:
        accepted = answer_type(request.environ.get("HTTP_ACCEPT"))
        return _json({"brokers": topics.brokers()}, accepted)

    def _found(name: str, partition: int | None = None) -> tuple[str, Topic]:
        if name not in served:
            raise TopicNotFoundError(name)
        accepted = answer_type(request.environ.get("HTTP_ACCEPT"))
        topic = topics.read_now().topics.get(name)
        if topic is None:
            raise TopicNotFoundError(name)
        if partition is not None and all(found.partition != partition for found in topic.partitions):
            raise PartitionNotFoundError(name, partition)
        return accepted, topic

    return routes


def _answer(outcomes: list[ProducedRecord], content_type: str, status: int) -> Response:
    return Response(_encode(ProduceAnswer(outcomes)), status, content_type=content_type)


def _json(answer: Any, content_type: str) -> Response:
    return Response(_encode(answer), content_type=content_type)
