import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from ingest_proxy.app import create_app
from ingest_proxy.memory import MemoryCluster
from ingest_proxy.settings import ProxySettings
from pipeline_contracts.proxy import BINARY_V2, JSON_V2, TOPIC_ID_HEADER
from prometheus_client import CollectorRegistry
from werkzeug.test import TestResponse

PIN = "pinterest.pin"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def post(client: FlaskClient, body: Any, path: str = f"/topics/{PIN}", **headers: str) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, data=data, headers={"Content-Type": JSON_V2, **named})


def error(answer: TestResponse) -> tuple[int, int]:
    assert answer.is_json
    assert set(answer.json or {}) == {"error_code", "message"}
    return answer.status_code, (answer.json or {})["error_code"]


def test_produce(client: FlaskClient, cluster: MemoryCluster) -> None:
    answer = post(
        client, {"records": [{"key": "1", "value": {"index": 1}, "partition": 0}, {"value": 0, "partition": 2}]}
    )
    assert answer.status_code == 200
    assert answer.content_type == "application/vnd.kafka.v2+json"
    assert answer.headers[TOPIC_ID_HEADER] == cluster.read_now().topics[PIN].log_id
    body = json.loads(answer.data)
    assert list(body) == ["offsets", "key_schema_id", "value_schema_id"]
    assert body["offsets"][1] == {"partition": 2, "offset": 0, "error_code": None, "error": None}
    assert {record.value for record in cluster.stored(PIN)} == {b'{"index": 1}', b"0"}


def test_produce_to_one_partition(client: FlaskClient, cluster: MemoryCluster) -> None:
    answer = post(client, {"records": [{"key": "1", "value": 1}, {"key": "2"}]}, f"/topics/{PIN}/partitions/1")
    assert [entry["partition"] for entry in json.loads(answer.data)["offsets"]] == [1, 1]
    assert error(post(client, {"records": [{"value": 1}]}, f"/topics/{PIN}/partitions/3")) == (404, 40402)
    assert error(post(client, {"records": [{"value": 1, "partition": 0}]}, f"/topics/{PIN}/partitions/1")) == (422, 422)
    assert len(cluster.stored(PIN)) == 2


def test_a_bad_partition_in_a_record_writes_nothing(client: FlaskClient, cluster: MemoryCluster) -> None:
    for partition in (3, -1, 10**30):
        answer = post(client, {"records": [{"value": 1}, {"value": 2, "partition": partition}]})
        assert error(answer) == (404, 40402)
    assert cluster.stored(PIN) == []


@pytest.mark.parametrize("topic", ["pinterest.pni", "pinterest.dlq", "__consumer_offsets", "other.pin"])
def test_foreign_topics_are_unknown_on_every_route(client: FlaskClient, topic: str) -> None:
    assert error(post(client, b"whatever", f"/topics/{topic}")) == (404, 40401)
    assert error(post(client, b"", f"/topics/{topic}/partitions/0")) == (404, 40401)
    for path in ("", "/partitions", "/partitions/0", "/partitions/0/offsets"):
        assert error(client.get(f"/topics/{topic}{path}")) == (404, 40401)


def test_bodies_that_are_wrong(client: FlaskClient, cluster: MemoryCluster) -> None:
    assert error(post(client, b"{")) == (400, 400)
    assert error(post(client, b'{"records":[{"value":"\xff"}]}')) == (400, 400)
    assert error(post(client, {"records": []})) == (422, 422)
    assert (post(client, {"records": [{"value": 1}, {"ind": 1}]}).json or {})["message"] == "Unrecognized field: ind"
    assert error(post(client, {"records": [{}] * 1001})) == (422, 422)
    assert cluster.stored(PIN) == []


def test_media_types(client: FlaskClient, cluster: MemoryCluster) -> None:
    record = {"records": [{"value": "YQ=="}]}
    assert error(post(client, record, Content_Type="text/plain")) == (415, 415)
    assert error(post(client, record, Content_Encoding="gzip")) == (415, 415)
    assert error(post(client, record, Accept="text/plain")) == (406, 406)
    assert error(client.get("/topics", headers={"Accept": "text/html"})) == (406, 406)
    avro = "application/vnd.kafka.avro.v2+json"
    assert error(post(client, {"records": [{"value": 1}]}, Content_Type=avro)) == (422, 42202)
    assert error(post(client, {"records": [{"key": 1, "value": 1}]}, Content_Type=avro)) == (422, 42201)
    assert error(post(client, {"value_schema_id": 1, "records": [{"value": 1}]}, Content_Type=avro)) == (415, 415)
    assert cluster.stored(PIN) == []
    assert post(client, record, Content_Type=BINARY_V2, Accept="application/json").content_type == "application/json"
    assert post(client, record, Content_Type="application/json").status_code == 200
    assert [record.value for record in cluster.stored(PIN)] == [b"a", b"a"]


def test_a_body_over_the_limit(settings: ProxySettings, cluster: MemoryCluster) -> None:
    small = settings.model_copy(update={"max_body_bytes": 1024})
    client = create_app(small, cluster, cluster, CollectorRegistry()).test_client()
    assert error(post(client, {"records": [{"value": "x" * 1024}]})) == (413, 413)
    fits = {"records": [{"value": ""}]}
    fits["records"][0]["value"] = "x" * (1024 - len(json.dumps(fits)))
    assert post(client, fits).status_code == 200


def test_kafka_away(client: FlaskClient, cluster: MemoryCluster) -> None:
    cluster.away = True
    answer = post(client, {"records": [{"value": 1}]})
    assert error(answer) == (503, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert error(client.get("/topics"))[0] == 503
    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").status_code == 200
    cluster.away = False
    assert client.get("/readyz").status_code == 200


def test_queue_full(client: FlaskClient, cluster: MemoryCluster) -> None:
    cluster.room = 2
    answer = post(client, {"records": [{"value": n} for n in range(5)]})
    assert answer.status_code == 200
    assert [entry["error_code"] for entry in json.loads(answer.data)["offsets"]] == [None, None, 2, 2, 2]
    assert error(post(client, {"records": [{"value": 1}]})) == (503, 503)


def test_records_that_are_too_large(client: FlaskClient, cluster: MemoryCluster) -> None:
    large = {"value": "x" * 1_100_000}
    answer = post(client, {"records": [large]})
    assert answer.status_code == 422
    (offset,) = json.loads(answer.data)["offsets"]
    assert (offset["partition"], offset["offset"], offset["error_code"]) == (None, None, 1)
    assert answer.headers[TOPIC_ID_HEADER]
    answer = post(client, {"records": [large, {"value": 1}]})
    assert answer.status_code == 200
    assert [entry["error_code"] for entry in json.loads(answer.data)["offsets"]] == [1, None]


def test_unknown_routes_and_verbs(client: FlaskClient) -> None:
    for path in ("/", "/nope", "/topics/", f"/topics/{PIN}/partitions/x", "/topics//x"):
        assert error(client.get(path)) == (404, 404)
    answer = client.delete(f"/topics/{PIN}")
    assert error(answer) == (405, 405)
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert error(client.options("/topics")) == (405, 405)


def test_metadata(client: FlaskClient) -> None:
    post(client, {"records": [{"value": 1, "partition": 0}]})
    assert json.loads(client.get("/topics").data) == ["pinterest.geo", PIN, "pinterest.user"]
    partition = {"partition": 0, "leader": 1, "replicas": [{"broker": 1, "leader": True, "in_sync": True}]}
    topic = json.loads(client.get(f"/topics/{PIN}").data)
    assert topic["name"] == PIN
    assert topic["configs"]["retention.ms"] == "-1"
    assert topic["partitions"][0] == partition
    assert len(json.loads(client.get(f"/topics/{PIN}/partitions").data)) == 3
    assert json.loads(client.get(f"/topics/{PIN}/partitions/0").data) == partition
    assert json.loads(client.get(f"/topics/{PIN}/partitions/0/offsets").data) == {
        "beginning_offset": 0,
        "end_offset": 1,
    }
    assert json.loads(client.get("/brokers").data) == {"brokers": [1]}
    assert error(client.get(f"/topics/{PIN}/partitions/3")) == (404, 40402)
    assert error(client.get(f"/topics/{PIN}/partitions/3/offsets")) == (404, 40402)


def test_metrics(client: FlaskClient, registry: CollectorRegistry) -> None:
    post(client, {"records": [{"value": 1}, {"value": "x" * 1_100_000}]})
    post(client, b"{")
    text = client.get("/metrics").text
    assert 'proxy_records_stored_total{topic="pinterest.pin"} 1.0' in text
    assert 'proxy_records_failed_total{retriable="no",topic="pinterest.pin"} 1.0' in text
    assert 'proxy_requests_total{method="POST",status="400"} 1.0' in text
    assert 'proxy_request_seconds_count{method="POST"} 2.0' in text
    assert registry.get_sample_value("proxy_requests_in_flight") == 0


def test_a_defect_is_a_500_in_json(app: Flask, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "brokers", lambda: 1 / 0)
    assert error(app.test_client().get("/brokers")) == (500, 500)


def test_a_gateway_that_puts_its_stage_before_the_path_is_served(cluster: MemoryCluster) -> None:
    settings = ProxySettings(path_prefix="/dev")
    client = create_app(settings, cluster, cluster, CollectorRegistry()).test_client()
    body = {"records": [{"key": "1", "value": {"index": 1}}]}
    assert post(client, body, f"/dev/topics/{PIN}").status_code == 200
    assert post(client, body, f"/topics/{PIN}").status_code == 200
    assert client.get("/livez").status_code == client.get("/dev/livez").status_code == 200
    for path in (f"/prod/topics/{PIN}", f"/devtopics/{PIN}", f"/dev/dev/topics/{PIN}", "/dev"):
        assert error(post(client, body, path)) == (404, 404)
