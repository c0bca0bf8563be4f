"""Request lines and headers that nobody's client library sends: the sender's fault, never a 5xx."""

import json
import socket
from urllib.parse import urlsplit

import pytest
from aws_deploy.apply import apply_stacks
from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.wanted import Wanted
from gateway import Gateway
from pipeline_contracts.names import Names
from pydantic import SecretStr
from servers import LocalStack

NAMES = Names("gw-requests")
KEY = f"key-of-{NAMES.pipeline_id}-0001"
ADMIN_KEY = f"key-of-{NAMES.pipeline_id}-0002"
RECORD = b'{"Data":{"a":1},"PartitionKey":"k"}'
STREAM = NAMES.stream("pin")
JSON = b"Content-Type: application/json"


@pytest.fixture(scope="module")
def gateway(localstack: LocalStack) -> Gateway:
    clients = Clients.on_localstack(localstack.endpoint_url, "us-east-1")
    wanted = Wanted(
        NAMES,
        "localstack",
        clients.endpoint_url,
        "http://127.0.0.1:1",
        SecretStr(KEY),
        admin_key=SecretStr(ADMIN_KEY),
    )
    deployed = apply_stacks(Deployer(clients.cloudformation, "localstack", poll_s=0.1), wanted)
    return Gateway(deployed["api"]["GatewayUrl"], KEY)


def send(
    gateway: Gateway, method: bytes, path: bytes, *headers: bytes, body: bytes = b"", key: str = KEY
) -> int | None:
    """The status; None where the connection is closed without an answer. An answer of an API is JSON."""
    url = urlsplit(gateway.url)
    target = path if path.startswith(b"http:") or path == b"*" else url.path.encode() + path
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + url.netloc.encode(), b"Connection: close", *headers]
    lines += [b"x-api-key: " + key.encode(), b"Content-Length: %d" % len(body)]
    with socket.create_connection(("localhost", url.port or 80), timeout=30) as peer:
        peer.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = b""
        while part := peer.recv(65536):
            answer += part
    if not answer:
        return None
    head, _, said = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if b"content-type: application/json" in head.lower() and said and method != b"HEAD":
        json.loads(said)
    return status


PATHS = [
    b"/streams/%ff/record",
    b"/streams/%/record",
    b"/streams/\xff/record",
    b"/streams/a%00b/record",
    b"/streams/a%0d%0ab/record",
    b"/streams/%2e%2e/record",
    b"/streams/../record",
    b"/streams//record",
    b"/streams/" + b"a" * 5000 + b"/record",
    b"/streams/%F0%9F%8E%83/record",
    b"/streams/{stream}/record",
    b"/streams/_user_request_/record",
    b"/streams/x/record?x=%ff",
    b"/streams/x/record;x=1",
    b"",
    b"//",
    b"*",
    b"http://evil.example/streams/x/record",
]


@pytest.mark.parametrize("method", [b"PUT", b"GET", b"DELETE", b"POST", b"HEAD", b"OPTIONS", b"TRACE", b"FOO", b"put"])
def test_no_path_and_no_verb_is_a_5xx(gateway: Gateway, method: bytes) -> None:
    statuses = {path: send(gateway, method, path, JSON, body=RECORD) for path in PATHS}
    assert {path: status for path, status in statuses.items() if status is not None and status >= 500} == {}


@pytest.mark.parametrize(
    "headers",
    [
        [b"Content-Type: \xff"],
        [JSON, b"Content-Type: text/plain"],
        [JSON, b"Transfer-Encoding: gzip"],
        [JSON, b"Accept: \xff"],
        [JSON, b"X-Amzn-Trace-Id: x;;=;"],
        [JSON, b"Expect: foo"],
        [JSON, b"Upgrade: websocket"],
        [JSON, b"Authorization: AWS4-HMAC-SHA256 Credential=x/y"],
        [JSON, b"Authorization: " + b"a" * 20_000],
        [JSON, b"x-localstack-data: {"],
        [JSON, b"X-Amz-Target: Kinesis_20131202.DeleteStream"],
        [JSON, b"X-HTTP-Method-Override: DELETE"],
        [JSON, *[b"h%d: x" % number for number in range(600)]],
    ],
    ids=lambda headers: headers[-1][:40].decode("latin-1"),
)
def test_no_header_is_a_5xx(gateway: Gateway, headers: list[bytes]) -> None:
    for method, path, body in ((b"PUT", f"/streams/{STREAM}/record".encode(), RECORD), (b"GET", b"/streams", b"")):
        status = send(gateway, method, path, *headers, body=body)
        assert status is None or 200 <= status < 500
    assert gateway.call("GET", f"/streams/{STREAM}").status == 200


@pytest.mark.parametrize("key", [KEY, ADMIN_KEY])
@pytest.mark.parametrize("name", [b"a%20b", b"%22", b"%ff", b"x" * 200, b"%7B%7D"])
def test_no_name_of_a_stream_is_a_5xx(gateway: Gateway, name: bytes, key: str) -> None:
    for method, body in ((b"POST", b""), (b"POST", b'{"ShardCount":99999999999999999999}'), (b"DELETE", b"")):
        assert send(gateway, method, b"/streams/" + name, JSON, body=body, key=key) in {400, 403}
