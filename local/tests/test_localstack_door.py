"""Who gets through LocalStack's door, and what a body must be."""

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_local.localstack_edge import bodies
from pipeline_local.localstack_edge.door import Door
from werkzeug.datastructures import Headers

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
STAGE = "/_aws/execute-api/pinterest/dev"


def status(
    path: str,
    *headers: tuple[str, str],
    host: str = "localhost:4566",
    hosts: str = "localstack",
    method: str = "GET",
) -> int:
    refusal = Door(hosts).refusal(method, path, Headers([("Host", host), *headers]))
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(("method", "expected"), [("GET", 200), ("HEAD", 200), ("POST", 405), ("PUT", 405)])
def test_health_is_read_alone(method: str, expected: int) -> None:
    """By a POST of an action there LocalStack restarts or ends itself, for whoever asks."""
    for path in ("/_localstack/health", "/_pipeline/metrics"):
        assert status(path, method=method) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:4566", 200),
        ("LocalHost", 200),
        ("127.0.0.1:4566", 200),
        ("[::1]:4566", 200),
        ("172.17.0.3:4566", 200),
        ("localstack:4566", 200),
        ("evil.example:4566", 421),
        ("localhost.evil.example", 421),
        ("localstack.evil.example:4566", 421),
        ("bucket.localhost:4566", 421),
        ("localhost@evil.example", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
@pytest.mark.parametrize("path", [f"{STAGE}/streams", "/_localstack/health", "/_pipeline/metrics"])
def test_it_answers_to_its_own_names_only(path: str, host: str, expected: int) -> None:
    assert status(path, host=host) == expected


def test_two_hosts_are_none() -> None:
    assert status("/_localstack/health", ("Host", "localhost")) == 421


@pytest.mark.parametrize(
    "header",
    [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost:8090"),
        ("Origin", "http://localhost:4566.evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ],
)
@pytest.mark.parametrize(
    "path", [f"{STAGE}/streams", "/_localstack/health", "/_pipeline/metrics", "/", "/pinterest-raw"]
)
def test_no_page_of_another_origin_gets_in_signed_or_not(path: str, header: tuple[str, str]) -> None:
    assert status(path, header) == 403
    assert status(path, header, ("Authorization", SIGNED.format("s3"))) == 403


@pytest.mark.parametrize(
    "headers",
    [[], [("Origin", "http://localhost:4566"), ("Sec-Fetch-Site", "same-origin")], [("Sec-Fetch-Site", "none")]],
)
def test_a_typed_address_and_its_own_pages_do(headers: list[tuple[str, str]]) -> None:
    assert status("/_localstack/health", *headers) == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/_localstack/health", 200),
        ("/_pipeline/metrics", 200),
        ("/_pipeline/metrics/x", 403),
        (f"{STAGE}/streams", 200),
        (STAGE, 200),
        ("/", 403),
        ("/apikeys", 403),
        ("/pinterest-raw", 403),
        ("/_localstack/init", 403),
        ("/_localstack/health/x", 403),
        ("/_aws/execute-api/pinterest", 403),
        ("/_aws/execute-api//", 403),
        ("/x/_aws/execute-api/pinterest/dev/streams", 403),
        ("/restapis/pinterest/dev/_user_request_/streams", 403),
    ],
)
def test_only_the_gateway_health_and_metrics_are_unsigned(path: str, expected: int) -> None:
    assert status(path) == expected
    assert status(path, ("Authorization", "Bearer x")) == expected
    assert status(path, ("Authorization", SIGNED.format("apigateway"))) == 200


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "identity, gzip", "br"])
def test_no_compressed_body_is_read_but_what_s3_keeps(encoding: str) -> None:
    header = ("Content-Encoding", encoding)
    assert status(f"{STAGE}/streams/x/record", header) == 415
    assert status(f"{STAGE}/streams/x/record", header, ("Authorization", SIGNED.format("s3"))) == 415
    assert status("/", header, ("Authorization", SIGNED.format("kinesis"))) == 415
    assert status("/pinterest-raw/key", header, ("Authorization", SIGNED.format("s3"))) == 200
    assert status(f"{STAGE}/streams/x/record", ("Content-Encoding", "identity")) == 200


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        'application/json ; Charset="utf-8"',
        "application/json\t;\tcharset=utf8 ",
        "application/json;",
        "application/json; version=1; charset=utf-8",
        'application/json; note="a;\\"b"',
    ],
)
def test_json_types_are_compared_as_http_says(kind: str) -> None:
    assert bodies.is_json_type(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/json; charset=utf-16",
        'application/json; charset="latin-1"',
        "application/jsonx",
        "application/json charset=utf-8",
        "application/json, text/plain",
        "application/vnd.kafka.json.v2+json",
        "application/x-amz-json-1.1",
        "json",
        "application / json",
    ],
)
def test_other_types_are_not_json(kind: str) -> None:
    assert not bodies.is_json_type(kind)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "byte order mark"),
        ("{}".encode("utf-16-le"), "not JSON"),
        ("{}".encode("utf-32"), "byte order mark"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b'{"a":NaN}', "not JSON: NaN"),
        (b'{"a":-Infinity}', "not JSON: -Infinity"),
        (b'{"a":1e400}', "double's range"),
        (b'{"a":' + b"9" * 5000 + b"}", "more than 4300 digits"),
        (b'{"a":"\\ud83d"}', "half of a surrogate pair"),
        (b'{"\\udE00":1}', "half of a surrogate pair"),
        (b"{} {}", "not JSON: Extra data at line 1, column 4"),
        (b"{'a':1}", "not JSON"),
        (b"\x00{}", "not JSON"),
        (b"[" * 102 + b"]" * 102, "levels deep"),
        (b"[" * 1_000_000, "levels deep"),
        (b'{"a":' * 200_000, "levels deep"),
    ],
)
def test_what_readers_read_differently_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(bodies.BodyError, match=said):
        bodies.read(body)


def test_an_empty_body_is_an_empty_object_and_pairs_are_characters() -> None:
    assert bodies.read(b"") == {}
    assert bodies.read(b'{"a":"\\ud83c\\udf83"}') == {"a": "🎃"}
    assert bodies.read(b"[" * 100 + b"]" * 100)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_every_json_value_is_read_as_it_is(value: Any) -> None:
    assert bodies.read(json.dumps(value).encode()) == value
    assert bodies.read(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.binary(max_size=40)
    | st.integers(0, 2**64 - 1).map(lambda bits: repr(struct.unpack("d", struct.pack("Q", bits))[0]).encode())
)
def test_any_bytes_are_read_strictly_or_refused(body: bytes) -> None:
    try:
        value = bodies.read(body)
    except bodies.BodyError:
        return
    assert not (isinstance(value, float) and not math.isfinite(value))
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
