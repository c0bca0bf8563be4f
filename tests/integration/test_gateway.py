"""Every route of the gateway (``docs/wire.md``, Gateway), deployed by ``aws_deploy`` into a real LocalStack."""

import base64
import json
import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
import urllib3
from aws_deploy.apply import apply_stacks
from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.stacks import build
from aws_deploy.wanted import Wanted
from gateway import Gateway, stored
from pipeline_contracts import kinesis, proxy
from pipeline_contracts.names import Names
from pydantic import SecretStr
from servers import LocalStack
from waiting import wait_until

NAMES = Names("gw-tests")  # not random: it is part of the names of tests
KEY = f"key-of-{NAMES.pipeline_id}-0001"  # a value may be used once per account
ADMIN_KEY = f"key-of-{NAMES.pipeline_id}-0002"
STREAM = NAMES.stream("pin")

# What rows hold in the wild, and what a mapping template is likely to spoil.
ROW: dict[str, Any] = {
    "index": 7528,
    "title": "He said \"no\" \\ it's O'Neil's 🎃 naïve 日本 ${x} #set($a=1) #if $input.json",
    "description": "two\nlines\tand a tab, a slash /, </script>, &amp;",
    "follower_count": "124k",
    "nested": {"a": [1, 2.5, None, True, {"b": "c"}], "empty": {}},
    "latitude": -88.5194,
    "nothing": None,
}


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """Stands for the proxy: keeps what arrives, and answers with the status in the topic's name."""

    url: str
    seen: list[Seen] = field(default_factory=list)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            upstream.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body))
            status = int(self.path.partition("answer-")[2][:3] or 200)
            said = json.dumps({"error_code": status, "message": "Grüße 🎃"}, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", proxy.ANSWER_V2)
            self.send_header("Content-Length", str(len(said)))
            self.send_header(proxy.TOPIC_ID_HEADER, "topic-id")
            if status == 503:
                self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        upstream.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield upstream
        server.shutdown()


@pytest.fixture(scope="module")
def clients(localstack: LocalStack) -> Clients:
    return Clients.on_localstack(localstack.endpoint_url, "us-east-1")


@pytest.fixture(scope="module")
def wanted(clients: Clients, upstream: Upstream) -> Wanted:
    return Wanted(
        NAMES, "localstack", clients.endpoint_url, upstream.url, SecretStr(KEY), admin_key=SecretStr(ADMIN_KEY)
    )


@pytest.fixture(scope="module")
def gateway(clients: Clients, wanted: Wanted) -> Gateway:
    deployed = apply_stacks(Deployer(clients.cloudformation, "localstack", poll_s=0.1), wanted)
    return Gateway(deployed["api"]["GatewayUrl"], KEY)


# --- the API itself ---


def test_the_url_is_known_before_it_is_deployed(gateway: Gateway, localstack: LocalStack) -> None:
    assert gateway.url == f"{localstack.endpoint_url}/_aws/execute-api/{NAMES.api_id}/dev"


@pytest.mark.parametrize("key", [None, "another-key-of-20-chars"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/topics/a"),
        ("GET", "/streams"),
        ("GET", f"/streams/{STREAM}"),
        ("POST", "/streams/x"),
        ("DELETE", "/streams/x"),
        ("PUT", f"/streams/{STREAM}/record"),
        ("PUT", f"/streams/{STREAM}/records"),
    ],
)
def test_every_route_needs_the_key(
    gateway: Gateway, upstream: Upstream, method: str, path: str, key: str | None
) -> None:
    seen = len(upstream.seen)
    assert gateway.call(method, path, {}, key=key).status == 403
    assert len(upstream.seen) == seen


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/elsewhere"),
        ("POST", f"/streams/{STREAM}/record"),
        ("PATCH", f"/streams/{STREAM}"),
        ("PUT", "/streams"),
        ("GET", f"/streams/{STREAM}/records"),
        ("PUT", f"/streams/{STREAM}/record/more"),
        ("DELETE", "/topics"),
    ],
)
def test_an_unknown_route_or_verb_is_refused_and_named(gateway: Gateway, method: str, path: str) -> None:
    answer = gateway.call(method, path)
    assert answer.status == 403
    assert answer.json() == {"message": f"No such route: {method} /dev{path}"}
    assert answer.headers["Content-Type"] == "application/json"


def test_a_path_cannot_spoil_the_answer(gateway: Gateway) -> None:
    answer = gateway.call("GET", '/else"where%22%0a$context.error.message')
    assert answer.status == 403
    assert answer.json()["message"].startswith("No such route: GET /dev/else")


# --- /topics ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_the_proxy_sees_the_request_as_it_was_sent(gateway: Gateway, upstream: Upstream, method: str) -> None:
    body = None if method == "GET" else json.dumps({"records": [{"value": ROW}]}, ensure_ascii=False).encode()
    answer = gateway.call(method, "/topics/a.pin/partitions/0?a=1&b=%20x", body, kind=proxy.JSON_V2)
    assert answer.status == 200
    seen = upstream.seen[-1]
    assert (seen.method, seen.path.partition("?")[0]) == (method, "/topics/a.pin/partitions/0")
    assert sorted(seen.path.partition("?")[2].replace("+", "%20").split("&")) == ["a=1", "b=%20x"]
    if body is not None:
        assert seen.body == body
        assert seen.headers["Content-Type"] == proxy.JSON_V2


@pytest.mark.parametrize("kind", [proxy.JSON_V2, proxy.BINARY_V2, "application/json", "text/plain"])
def test_any_media_type_reaches_the_proxy(gateway: Gateway, upstream: Upstream, kind: str) -> None:
    assert gateway.call("POST", "/topics/a", b"not json \xf0\x9f\x8e\x83", kind=kind).status == 200
    assert upstream.seen[-1].headers["Content-Type"] == kind
    assert upstream.seen[-1].body == b"not json \xf0\x9f\x8e\x83"


@pytest.mark.parametrize("status", [200, 400, 404, 413, 415, 422, 500, 503])
def test_the_proxys_answer_passes_through(gateway: Gateway, status: int) -> None:
    answer = gateway.call("POST", f"/topics/answer-{status}", {"records": []}, kind=proxy.JSON_V2)
    assert answer.status == status
    assert answer.json() == {"error_code": status, "message": "Grüße 🎃"}
    assert answer.headers["Content-Type"] == proxy.ANSWER_V2
    assert answer.headers[proxy.TOPIC_ID_HEADER] == "topic-id"
    assert answer.headers.get("Retry-After") == ("7" if status == 503 else None)


def test_a_body_of_a_megabyte_passes(gateway: Gateway, upstream: Upstream) -> None:
    body = json.dumps({"records": [{"value": "x" * 1_000_000}]}).encode()
    assert gateway.call("POST", "/topics/a", body, kind=proxy.JSON_V2).status == 200
    assert upstream.seen[-1].body == body


# --- /streams ---


def test_streams_are_listed(gateway: Gateway) -> None:
    answer = gateway.call("GET", "/streams")
    assert answer.status == 200
    assert set(NAMES.streams) <= set(answer.json()["StreamNames"])


def test_a_stream_is_described(gateway: Gateway) -> None:
    answer = gateway.call("GET", f"/streams/{STREAM}")
    assert answer.status == 200
    summary = answer.json()["StreamDescriptionSummary"]
    assert (summary["StreamName"], summary["StreamStatus"], summary["OpenShardCount"]) == (STREAM, "ACTIVE", 2)


@pytest.mark.parametrize(("body", "shards"), [({"ShardCount": 3}, 3), ({}, 1), (b"", 1)])
def test_a_stream_is_created_and_deleted_with_the_second_key(
    gateway: Gateway, clients: Clients, body: Any, shards: int
) -> None:
    name = f"made-{uuid.uuid4().hex[:8]}"
    for refused in (gateway.call("POST", f"/streams/{name}", body), gateway.call("DELETE", f"/streams/{STREAM}")):
        assert refused.status == 403
        assert "GATEWAY_ADMIN_KEY" in refused.json()["message"]
    created = gateway.call("POST", f"/streams/{name}", body, key=ADMIN_KEY)
    assert created.status == 200, created.body
    clients.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    assert gateway.call("GET", f"/streams/{name}").json()["StreamDescriptionSummary"]["OpenShardCount"] == shards
    assert gateway.call("POST", f"/streams/{name}", body).status == 403
    again = gateway.call("POST", f"/streams/{name}", {"ShardCount": shards + 1}, key=ADMIN_KEY)
    assert (again.status, again.json()["__type"]) == (400, "ResourceInUseException")
    assert gateway.call("DELETE", f"/streams/{name}", key=ADMIN_KEY).status == 200
    wait_until("the stream is gone", lambda: gateway.call("GET", f"/streams/{name}").status == 400)
    assert gateway.call("GET", f"/streams/{STREAM}").status == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"ShardCount": "3"}, "$.ShardCount: must be integer, not string"),
        ({"ShardCount": 0}, "$.ShardCount: must be at least 1"),
        ({"ShardCount": 1.5}, "$.ShardCount: must be integer, not number"),
        ({"ShardCount": True}, "$.ShardCount: must be integer, not boolean"),
        ({"records": [{"Data": {"index": 6}}]}, "$: has no field records; its fields are ShardCount"),
        ({"StreamName": "x"}, "$: has no field StreamName"),
        ([], "$: must be object, not array"),
        (b"{", "not JSON"),
        (b'\xef\xbb\xbf{"ShardCount":2}', "byte order mark"),
    ],
)
@pytest.mark.parametrize("key", [KEY, ADMIN_KEY])
def test_a_body_of_another_operation_makes_no_stream(gateway: Gateway, body: Any, said: str, key: str) -> None:
    refused = gateway.call("POST", "/streams/never", body, key=key)
    assert refused.status == 400
    assert said in refused.json()["message"]
    assert "never" not in gateway.call("GET", "/streams").json()["StreamNames"]


KINDS = [
    "application/json",
    "application/json; charset=utf-8",
    "application/json;charset=utf-8",
    "application/json; charset=UTF-8",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_stored_as_the_rows_json_encoded_once(gateway: Gateway, clients: Clients, kind: str) -> None:
    key = f'O\'Neil "{uuid.uuid4().hex}" 🎃 \\ /'
    body = json.dumps({"StreamName": STREAM, "Data": ROW, "PartitionKey": key}, ensure_ascii=False).encode()
    answer = gateway.call("PUT", f"/streams/{STREAM}/record", body, kind=kind)
    assert answer.status == 200, answer.body
    assert answer.json()["SequenceNumber"].isdigit()
    [data] = stored(clients, STREAM)[key]
    assert json.loads(data) == ROW
    assert list(json.loads(data)) == list(ROW)


def test_the_stream_of_the_path_counts(gateway: Gateway, clients: Clients) -> None:
    key = uuid.uuid4().hex
    body = {"StreamName": NAMES.stream("user"), "Data": {"ind": 1}, "PartitionKey": key}
    assert gateway.call("PUT", f"/streams/{NAMES.stream('geo')}/record", body).status == 200
    assert key in stored(clients, NAMES.stream("geo"))
    assert key not in stored(clients, NAMES.stream("user"))


@pytest.mark.parametrize(
    "body",
    [
        {"Data": ROW},
        {"PartitionKey": "1"},
        {"Data": json.dumps(ROW), "PartitionKey": "1"},
        {"Data": base64.b64encode(b"{}").decode(), "PartitionKey": "1"},
        {"Data": {}, "PartitionKey": ""},
        {"Data": {}, "PartitionKey": 1},
        {"Data": {}, "PartitionKey": "x" * 257},
        [],
        b"{",
        b"",
    ],
)
def test_a_malformed_record_is_refused_and_not_stored(gateway: Gateway, clients: Clients, body: Any) -> None:
    before = stored(clients, NAMES.stream("user"))
    assert gateway.call("PUT", f"/streams/{NAMES.stream('user')}/record", body).status == 400
    assert stored(clients, NAMES.stream("user")) == before


def test_500_records_are_stored_each_under_its_key(gateway: Gateway, clients: Clients) -> None:
    put_records(gateway, clients, 500)


def test_what_aws_needs_in_the_template_gives_the_same_records(
    gateway: Gateway, clients: Clients, wanted: Wanted
) -> None:
    key = f"another-{KEY}"
    names = Names(f"aws-{uuid.uuid4().hex[:8]}")
    stack = build("api", replace(wanted, names=names, api_key=SecretStr(key), admin_key=None), {"data": {}})
    document = json.loads(stack.body)
    lines = document["Mappings"]["RecordOfMany"]
    assert lines["aws"] != lines["localstack"]
    lines["localstack"] = lines["aws"]
    deployer = Deployer(clients.cloudformation, "localstack", poll_s=0.1)
    outputs = deployer.apply(replace(stack, body=json.dumps(document)))
    put_records(replace(gateway, url=outputs["GatewayUrl"], key=key), clients, 20)


def put_records(gateway: Gateway, clients: Clients, count: int) -> None:
    run = uuid.uuid4().hex
    rows = [ROW | {"index": i, "title": f'{i} 🎃 "quoted" O\'Neil'} for i in range(count)]
    request = kinesis.PutRecordsRequest([kinesis.PutRecordsEntry(row, f"{run}'\"{i}") for i, row in enumerate(rows)])
    answer = gateway.call("PUT", f"/streams/{STREAM}/records", msgspec.json.encode(request))
    assert answer.status == 200, answer.body
    result = msgspec.json.decode(answer.body, type=kinesis.PutRecordsAnswer)
    assert result.failed_record_count == 0
    assert all(record.sequence_number and record.shard_id for record in result.records)
    found = stored(clients, STREAM)
    assert [[json.loads(data) for data in found[f"{run}'\"{i}"]] for i in range(count)] == [[row] for row in rows]


def test_what_the_gateway_stores_is_counted_once(gateway: Gateway, clients: Clients, localstack: LocalStack) -> None:
    def taken() -> int:
        answer = urllib3.request("GET", f"{localstack.endpoint_url}/_pipeline/metrics")
        found = re.search(rf'localstack_kinesis_records_total{{stream="{STREAM}"}} (\d+)', answer.data.decode())
        return int(found[1]) if found else 0

    before = taken()
    put_records(gateway, clients, 7)
    assert gateway.call("PUT", f"/streams/{STREAM}/record", {"Data": ROW, "PartitionKey": "1"}).status == 200
    assert gateway.call("PUT", f"/streams/{STREAM}/record", {"Data": ROW}).status == 400
    assert taken() == before + 8


@pytest.mark.parametrize(
    "body",
    [
        {"records": []},
        {"records": [{"data": {}, "partition-key": "1"}] * 501},
        {"records": [{"data": {}}]},
        {"records": [{"partition-key": "1"}]},
        {"records": [{"data": "text", "partition-key": "1"}]},
        {"records": {"data": {}, "partition-key": "1"}},
        {},
    ],
)
def test_malformed_records_are_refused_and_none_is_stored(gateway: Gateway, clients: Clients, body: Any) -> None:
    before = stored(clients, NAMES.stream("user"))
    assert gateway.call("PUT", f"/streams/{NAMES.stream('user')}/records", body).status == 400
    assert stored(clients, NAMES.stream("user")) == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/streams/unknown", None),
        ("PUT", "/streams/unknown/record", {"Data": ROW, "PartitionKey": "1"}),
        ("PUT", "/streams/unknown/records", {"records": [{"data": ROW, "partition-key": "1"}]}),
    ],
)
def test_an_error_of_kinesis_keeps_its_status_and_body(gateway: Gateway, method: str, path: str, body: Any) -> None:
    answer = gateway.call(method, path, body)
    assert answer.status == 400
    assert "ResourceNotFoundException" in answer.json()["__type"]


@pytest.mark.parametrize("name", ["a%22b", "a%20b", "%22,%22x%22:%22"])
def test_a_stream_name_cannot_change_the_request(gateway: Gateway, name: str) -> None:
    assert gateway.call("GET", f"/streams/{name}").status == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", proxy.JSON_V2, "application/x-amz-json-1.1"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("record", {"Data": ROW, "PartitionKey": "1"}),
        ("records", {"records": [{"data": ROW, "partition-key": "1"}]}),
    ],
)
def test_another_media_type_is_refused(gateway: Gateway, clients: Clients, path: str, body: Any, kind: str) -> None:
    before = stored(clients, NAMES.stream("user"))
    answer = gateway.call("PUT", f"/streams/{NAMES.stream('user')}/{path}", body, kind=kind)
    assert answer.status == 415
    assert stored(clients, NAMES.stream("user")) == before
