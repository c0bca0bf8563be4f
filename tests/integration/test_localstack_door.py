"""LocalStack's port as a page in a browser, and as programs, see it."""

import gzip
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3
from aws_deploy.clients import Clients
from pipeline_contracts.names import Names
from servers import LocalStack

HTTP = urllib3.PoolManager(retries=False, timeout=30)
SIGNED = "AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
NAMES = Names("door")
BUCKET = "door-bucket"
STREAM = "door-stream"
KEY = "key-of-door-tests-0001"
STACK = "door-stack"
EVIL = {"Origin": "http://evil.example"}


@pytest.fixture(scope="module")
def clients(localstack: LocalStack) -> Clients:
    """What boto3 and test credentials make: they pass."""
    clients = Clients.on_localstack(localstack.endpoint_url, "us-east-1")
    clients.s3.create_bucket(Bucket=BUCKET)
    clients.kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    clients.kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
    clients.apigateway.create_api_key(name="door", value=KEY, enabled=True)
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    clients.cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(template))
    clients.cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    return clients


def form(key: str) -> tuple[bytes, str]:
    body, kind = urllib3.encode_multipart_formdata({"key": key, "file": ("f", b"forged")})
    return body, kind


@pytest.mark.parametrize("headers", [{}, EVIL, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}])
def test_a_page_can_neither_write_nor_delete_nor_read(
    localstack: LocalStack, clients: Clients, headers: dict[str, str]
) -> None:
    url = localstack.endpoint_url
    body, kind = form("topics/pinterest.pin/partition=0/pinterest.pin+0+0000000722.jsonl.gz")
    upload = HTTP.request("POST", f"{url}/{BUCKET}", body=body, headers={**headers, "Content-Type": kind})
    query = f"Action=DeleteStack&StackName={STACK}&Version=2010-05-15"
    target = {"Content-Type": "text/plain", "X-Amz-Target": "Kinesis_20131202.DeleteStream"}
    answers = [
        upload,
        *(HTTP.request("GET", f"{url}{path}?{query}", headers=headers) for path in ("/", "/_aws/execute-api/door/x/y")),
        HTTP.request("POST", url, body=query, headers={**headers, "Content-Type": "application/x-www-form-urlencoded"}),
        HTTP.request("POST", url, body=json.dumps({"StreamName": STREAM}), headers={**headers, **target}),
        HTTP.request("GET", f"{url}/apikeys?includeValues=true", headers=headers),
        HTTP.request("GET", f"{url}/{BUCKET}", headers=headers),
        HTTP.request("GET", f"{url}/{BUCKET}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0", headers=headers),
        HTTP.request("GET", f"{url}/_localstack/init", headers=headers),
        HTTP.request("OPTIONS", f"{url}/{BUCKET}", headers={**headers, "Access-Control-Request-Method": "DELETE"}),
    ]
    assert {answer.status for answer in answers} <= {403, 404}
    assert all(json.loads(answer.data)["message"] for answer in answers)
    assert all("Access-Control-Allow-Origin" not in answer.headers for answer in answers)
    assert all(KEY.encode() not in answer.data for answer in answers)
    assert clients.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert clients.kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
    assert clients.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


def test_a_path_that_no_api_serves_leads_to_no_service(localstack: LocalStack, clients: Clients) -> None:
    """The gateway's paths are unsigned; what is none of an API's stage must not fall through to CloudFormation."""
    query = f"Action=DeleteStack&StackName={STACK}&Version=2010-05-15"
    for path in ("/_aws/execute-api/a/b", "/_aws/execute-api/a/b/", "/_aws/execute-api/a/b/../../..", "//"):
        answer = HTTP.request("POST", f"{localstack.endpoint_url}{path}?{query}")
        assert 400 <= answer.status < 500, (path, answer.data)
    assert clients.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


def test_a_name_that_was_made_to_lead_here_is_refused(localstack: LocalStack, clients: Clients) -> None:
    for path in ("/_localstack/health", f"/{BUCKET}", "/_aws/execute-api/door/dev/streams"):
        headers = {"Host": "evil.example:4566", "Authorization": SIGNED.format("s3")}
        assert HTTP.request("GET", localstack.endpoint_url + path, headers=headers).status == 421


def test_health_is_for_everybody_on_this_machine(localstack: LocalStack) -> None:
    answer = HTTP.request("GET", f"{localstack.endpoint_url}/_localstack/health")
    assert answer.status == 200
    assert HTTP.request("GET", f"{localstack.endpoint_url}/_localstack/health", headers=EVIL).status == 403
    refused = HTTP.request("POST", f"{localstack.endpoint_url}/_localstack/health", json={"action": "nothing"})
    assert (refused.status, refused.json()["message"]) == (405, "/_localstack/health takes GET alone")


def test_how_many_records_streams_took_is_for_everybody_on_this_machine(
    localstack: LocalStack, clients: Clients
) -> None:
    def taken(headers: dict[str, str] | None = None) -> str:
        answer = HTTP.request("GET", f"{localstack.endpoint_url}/_pipeline/metrics", headers=headers)
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer.data
        return answer.data.decode()

    clients.kinesis.put_record(StreamName=STREAM, Data=b"1", PartitionKey="k")
    arn = clients.kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    clients.kinesis.put_records(StreamARN=arn, Records=[{"Data": b"2", "PartitionKey": "k"}] * 3)
    with pytest.raises(clients.kinesis.exceptions.ClientError):
        clients.kinesis.put_record(StreamName=STREAM, Data=b"x" * 2_000_000, PartitionKey="k")
    assert f'localstack_kinesis_records_total{{stream="{STREAM}"}} 4\n' in taken()
    assert HTTP.request("GET", f"{localstack.endpoint_url}/_pipeline/metrics", headers=EVIL).status == 403
    # Another path that is none of LocalStack's leads to no service.
    assert HTTP.request("GET", f"{localstack.endpoint_url}/_pipeline/other").status == 403


def test_a_websocket_of_a_page_is_refused(localstack: LocalStack) -> None:
    host = localstack.endpoint_url.removeprefix("http://")
    with socket.create_connection(("localhost", int(host.rpartition(":")[2])), timeout=10) as peer:
        peer.sendall(
            f"GET /_aws/execute-api/door/dev/x HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert peer.recv(1024).split(b" ", 2)[1] == b"403"


@pytest.fixture
def own_localstack(tmp_path: Path) -> Iterator[LocalStack]:
    with LocalStack(tmp_path / "localstack") as server:
        yield server


def test_a_bomb_is_not_inflated(own_localstack: LocalStack) -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
    [process] = [
        found
        for found in psutil.Process(os.getpid()).children(recursive=True)
        if any("localstack_main.py" in part for part in found.cmdline())
        and str(own_localstack.folder) in found.environ().get("FILESYSTEM_ROOT", "")
    ]
    url = f"{own_localstack.endpoint_url}/_aws/execute-api/door/dev/streams/x/record"
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    HTTP.request("PUT", url, body=b"{}", headers={"Content-Type": "application/json"})
    before = process.memory_info().rss
    answer = HTTP.request("PUT", url, body=bomb, headers=headers)
    assert answer.status == 415
    assert "Content-Encoding" in json.loads(answer.data)["message"]
    signed = HTTP.request(
        "POST", own_localstack.endpoint_url, body=bomb, headers=headers | {"Authorization": SIGNED.format("kinesis")}
    )
    assert signed.status == 415
    assert process.memory_info().rss - before < 64 * 1024 * 1024


def test_what_s3_keeps_compressed_stays_so(localstack: LocalStack, clients: Clients) -> None:
    body = gzip.compress(b"{}\n")
    clients.s3.put_object(Bucket=BUCKET, Key="kept", Body=body, ContentEncoding="gzip")
    kept = clients.s3.get_object(Bucket=BUCKET, Key="kept")
    clients.s3.delete_object(Bucket=BUCKET, Key="kept")
    assert (kept["Body"].read(), kept["ContentEncoding"]) == (body, "gzip")
