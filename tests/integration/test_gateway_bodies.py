"""Any body sent to the stream routes: a 2xx and exactly that row in Kinesis, or a 4xx in words and nothing stored."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from aws_deploy.apply import apply_stacks
from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.wanted import Wanted
from gateway import HTTP, Answer, Gateway
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.names import Names
from pydantic import SecretStr
from servers import LocalStack

NAMES = Names("gw-bodies")
KEY = f"key-of-{NAMES.pipeline_id}-0001"
STREAM = "gw-bodies"
RECORD = f"/streams/{STREAM}/record"
RECORDS = f"/streams/{STREAM}/records"
EXAMPLES = 100

GEO = {"ind": 1, "timestamp": "2020-08-28 03:52:47", "latitude": 1.5, "longitude": 2.5, "country": "Albania"}
GEO_ISO = {**GEO, "timestamp": "2020-08-28T03:52:47"}
USER = {"ind": 1, "first_name": "Ana", "last_name": "Lee", "age": 36, "date_joined": "2015-12-08 20:02:43"}
PIN = {"index": 7528, "unique_id": "fbe53c66-3442-4773-b19e-d3ec6f54dddf", "image_src": 1, "is_image_or_video": 2}


class Stream:
    """One stream, read on from where the last look ended."""

    def __init__(self, clients: Clients) -> None:
        self._kinesis = clients.kinesis
        self._kinesis.create_stream(StreamName=STREAM, ShardCount=1)
        self._kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
        [shard] = self._kinesis.list_shards(StreamName=STREAM)["Shards"]
        self._iterator = self._kinesis.get_shard_iterator(
            StreamName=STREAM, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]

    def news(self) -> list[tuple[str, bytes]]:
        found = []
        while (page := self._kinesis.get_records(ShardIterator=self._iterator))["Records"]:
            found += [(record["PartitionKey"], record["Data"]) for record in page["Records"]]
            self._iterator = page["NextShardIterator"]
        return found


@pytest.fixture(scope="module")
def clients(localstack: LocalStack) -> Clients:
    return Clients.on_localstack(localstack.endpoint_url, "us-east-1")


@pytest.fixture(scope="module")
def gateway(clients: Clients) -> Gateway:
    wanted = Wanted(NAMES, "localstack", clients.endpoint_url, "http://127.0.0.1:1", SecretStr(KEY))
    deployed = apply_stacks(Deployer(clients.cloudformation, "localstack", poll_s=0.1), wanted)
    return Gateway(deployed["api"]["GatewayUrl"], KEY)


@pytest.fixture(scope="module")
def stream(clients: Clients) -> Stream:
    return Stream(clients)


def put(row: Any, key: Any = "k", **more: Any) -> dict[str, Any]:
    return {**more, "Data": row, "PartitionKey": key}


def some(*rows: Any, **more: Any) -> dict[str, Any]:
    return {**more, "records": [{"data": row, "partition-key": str(number)} for number, row in enumerate(rows)]}


# --- what clients of this API send: docs of the course, and what its students made of them ---

STORED: list[tuple[str, str, dict[str, Any], list[tuple[str, Any]]]] = [
    ("a row", RECORD, put(GEO), [("k", GEO)]),
    ("dates of isoformat, a UUID as key", RECORD, put(GEO_ISO, "0e3bbd43-5bfb"), [("0e3bbd43-5bfb", GEO_ISO)]),
    ("a name that was never put in", RECORD, put(USER, StreamName="{self.stream_name}"), [("k", USER)]),
    ("another stream's name", RECORD, put(USER, StreamName="streaming-other-user"), [("k", USER)]),
    ("a slash at the end", f"{RECORD}/", put(GEO), [("k", GEO)]),
    ("two slashes at the start", f"/{RECORD}", put(GEO), [("k", GEO)]),
    ("numbers for texts", RECORD, put(PIN), [("k", PIN)]),
    ("a name beside records", RECORDS, some(PIN, GEO, StreamName="x"), [("0", PIN), ("1", GEO)]),
    ("an empty row", RECORD, put({}), [("k", {})]),
    (
        "a key like a template",
        RECORD,
        put(GEO, "$x #set($a=1) ${b} \\' \\\" '"),
        [("$x #set($a=1) ${b} \\' \\\" '", GEO)],
    ),
    (
        "keys of many scripts",
        RECORDS,
        some({"日本": "🎃", "'": '"', "\\": "\u2028\x7f"}),
        [("0", {"日本": "🎃", "'": '"', "\\": "\u2028\x7f"})],
    ),
]


@pytest.mark.parametrize(("path", "body", "rows"), [case[1:] for case in STORED], ids=[case[0] for case in STORED])
def test_a_clients_body_is_stored_as_it_is(
    gateway: Gateway, stream: Stream, path: str, body: Any, rows: list[tuple[str, Any]]
) -> None:
    stream.news()
    answer = gateway.call("PUT", path, body)
    assert answer.status == 200, answer.body
    assert [(key, json.loads(data)) for key, data in stream.news()] == rows


TEXT = json.dumps(put(GEO))
REFUSED: list[tuple[str, str, Any, str]] = [
    ("the row as Base64", RECORD, put(base64.b64encode(b'{"ind":1}').decode()), "$.Data: must be object, not string"),
    ("the row as text", RECORD, put(json.dumps(GEO)), "$.Data: must be object, not string"),
    ("several rows in one", RECORD, put([GEO, USER]), "$.Data: must be object, not array"),
    ("no row", RECORD, put(None), "$.Data: must be object, not null"),
    ("a key cut off to nothing", RECORD, put(GEO, ""), "$.PartitionKey: must have at least 1 characters"),
    ("a blank key", RECORD, put(GEO, " \t"), "$.PartitionKey: must match"),
    ("a number as key", RECORD, put(GEO, 1), "$.PartitionKey: must be string, not integer"),
    ("a long key", RECORD, put(GEO, "x" * 257), "$.PartitionKey: must have at most 256 characters"),
    ("names of the other route", RECORD, {"data": GEO, "partition-key": "k"}, "$: must have Data, PartitionKey"),
    ("names of Kinesis' API", RECORDS, {"Records": [put(GEO)]}, "$: has no field Records"),
    ("Kinesis' names in records", RECORDS, {"records": [put(GEO)]}, "$.records[0]: has no field Data, PartitionKey"),
    ("names in another case", RECORD, {"data": GEO, "partitionkey": "k"}, "$: has no field data, partitionkey"),
    ("a produce request", RECORDS, {"records": [{"value": GEO}]}, "$.records[0]: has no field value"),
    ("records for a record", RECORD, some(GEO), "$: has no field records"),
    ("a record for records", RECORDS, put(GEO), "$: has no field Data, PartitionKey"),
    ("a bare row", RECORD, GEO, "$: has no field ind"),
    ("a field of Kinesis alone", RECORD, put(GEO, ExplicitHashKey="1"), "$: has no field ExplicitHashKey"),
    ("one bad record of two", RECORDS, some(GEO, 1), "$.records[1].data: must be object"),
    ("nothing", RECORD, b"", "$: must have Data, PartitionKey"),
    ("an array", RECORDS, [GEO], "$: must be object, not array"),
    ("twice encoded", RECORD, json.dumps(TEXT).encode(), "$: must be object, not string"),
    ("Python's repr", RECORD, str(put(GEO)).encode(), "not JSON"),
    ("a byte order mark", RECORD, TEXT.encode("utf-8-sig"), "byte order mark"),
    ("a byte order mark before records", RECORDS, json.dumps(some(GEO)).encode("utf-8-sig"), "byte order mark"),
    ("UTF-16", RECORD, TEXT.encode("utf-16"), "byte order mark"),
    ("UTF-16 without a mark", RECORD, TEXT.encode("utf-16-le"), "not JSON"),
    ("UTF-16 of records, big end first", RECORDS, json.dumps(some(GEO)).encode("utf-16-be"), "not JSON"),
    ("Latin-1", RECORD, '{"Data":{"a":"Müller"},"PartitionKey":"k"}'.encode("latin-1"), "not UTF-8 at byte 15"),
    ("cut off", RECORD, TEXT[:-1].encode(), "not JSON"),
    ("text behind", RECORD, f"{TEXT} {TEXT}".encode(), "not JSON: Extra data"),
    ("NaN", RECORD, b'{"Data":{"latitude":NaN},"PartitionKey":"k"}', "not JSON: NaN"),
    ("a number beyond doubles", RECORD, b'{"Data":{"latitude":1e999},"PartitionKey":"k"}', "double's range"),
    ("half an emoji in the key", RECORD, b'{"Data":{},"PartitionKey":"Nice post \\ud83d"}', "half of a surrogate pair"),
    ("half an emoji in the row", RECORD, b'{"Data":{"a":"\\ude00"},"PartitionKey":"k"}', "half of a surrogate pair"),
    ("deep", RECORD, b'{"Data":{"a":' + b"[" * 5000 + b"]" * 5000 + b'},"PartitionKey":"k"}', "levels deep"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_any_other_body_is_refused_by_name_and_not_stored(
    gateway: Gateway, stream: Stream, path: str, body: Any, said: str
) -> None:
    stream.news()
    answer = gateway.call("PUT", path, body)
    assert answer.status == 400, answer.body
    assert said in answer.json()["message"]
    assert stream.news() == []


KINDS = [
    "Application/JSON",
    'application/json ; Charset="UTF-8"',
    "application/json;",
    "application/json;charset=utf8",
    "application/json; version=1",
]


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize(("path", "body"), [(RECORD, put(GEO)), (RECORDS, some(GEO))])
def test_json_is_json_however_it_is_spelled(
    gateway: Gateway, stream: Stream, path: str, body: Any, kind: str | None
) -> None:
    stream.news()
    assert gateway.call("PUT", path, body, kind=kind).status == 200
    assert [json.loads(data) for _, data in stream.news()] == [GEO]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-16", "application/jsonx", "text/json", "json", ";"])
def test_another_charset_or_type_is_not(gateway: Gateway, stream: Stream, kind: str) -> None:
    stream.news()
    refused = gateway.call("PUT", RECORD, put(GEO), kind=kind)
    assert refused.status == 415
    assert "application/json" in refused.json()["message"]
    assert stream.news() == []


@pytest.mark.parametrize(("path", "body"), [(RECORD, put(GEO)), (RECORDS, some(GEO))])
def test_a_body_in_chunks_is_stored(gateway: Gateway, stream: Stream, path: str, body: Any) -> None:
    def chunks() -> Iterator[bytes]:
        text = json.dumps(body).encode()
        yield from (text[:7], text[7:])

    stream.news()
    headers = {"x-api-key": KEY, "Content-Type": "application/json", "Accept": "application/vnd.kafka.v2+json"}
    assert HTTP.request("PUT", gateway.url + path, body=chunks(), headers=headers, timeout=30).status == 200
    assert [json.loads(data) for _, data in stream.news()] == [GEO]


def test_a_body_beyond_the_limit_is_413(gateway: Gateway, stream: Stream) -> None:
    stream.news()
    refused = gateway.call("PUT", RECORDS, some({"a": "x" * (10 * 1024 * 1024)}))
    assert refused.status == 413
    assert stream.news() == []


# --- any body at all ---

LONE = st.sampled_from(["\ud83d", "\ude00", "\ufeff", "\x00", "'", '"', "\\", "\\'", "$x", "#end", "\u2028", " "])
WORDS = st.text(max_size=6) | st.lists(LONE | st.text(max_size=2), max_size=4).map("".join)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, 1e308, -0.0, 1e-400])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(WORDS, VALUES, max_size=4)
NAMES_OF_FIELDS = st.sampled_from(
    ["Data", "PartitionKey", "StreamName", "data", "partition-key", "records", "ShardCount", "", "Data ", "DATA"]
)
FIELDS = st.dictionaries(NAMES_OF_FIELDS, VALUES, max_size=3)


def _records(rows: list[Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"records": [{"data": row, "partition-key": key} for row, key in rows], **more}


REQUESTS = st.one_of(
    st.builds(put, ROWS, WORDS),
    st.builds(lambda row, key, more: {**put(row, key), **more}, ROWS | VALUES, WORDS | VALUES, FIELDS),
    st.builds(_records, st.lists(st.tuples(ROWS, WORDS), max_size=3), st.just({})),
    st.builds(_records, st.lists(st.tuples(ROWS | VALUES, WORDS | VALUES), max_size=3), FIELDS),
    VALUES,
)
ENCODINGS = st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    request = draw(REQUESTS)
    escaped = draw(st.booleans())
    text = json.dumps(request, ensure_ascii=escaped)
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(["", ",", "}", '"', "\x00", " {}", "NaN"])) + text[place + 1 :]
    if draw(st.integers(0, 9)) == 0 and text.startswith("{"):
        text = '{"Data":{"twice":1},"PartitionKey":"twice",' + text[1:].lstrip()  # a name twice: the last one counts
    encoding = draw(ENCODINGS)
    return text.encode(encoding, errors="replace" if encoding == "latin-1" or draw(st.booleans()) else "surrogatepass")


def expected(path: str, body: bytes) -> list[tuple[str, Any]]:
    """What a 200 must have stored, by a plain reading of the body."""
    request = json.loads(body.decode())
    if path == RECORD:
        return [(request["PartitionKey"], request["Data"])]
    return [(record["partition-key"], record["data"]) for record in request["records"]]


def check(answer: Answer, path: str, body: bytes, news: list[tuple[str, bytes]]) -> None:
    if answer.status == 200:
        assert [(key, json.loads(data)) for key, data in news] == expected(path, body), body
        for _, data in news:
            json.dumps(json.loads(data), allow_nan=False, ensure_ascii=False).encode()
        return
    assert 400 <= answer.status < 500, (answer.status, answer.body, body)
    assert json.loads(answer.body).get("message"), answer.body
    assert news == [], (answer.body, body)


@settings(max_examples=EXAMPLES, deadline=None)
@given(path=st.sampled_from([RECORD, RECORDS]), body=bodies())
def test_exactly_that_row_or_nothing(gateway: Gateway, stream: Stream, path: str, body: bytes) -> None:
    stream.news()
    check(gateway.call("PUT", path, body), path, body, stream.news())


@settings(max_examples=EXAMPLES, deadline=None)
@given(row=ROWS, key=WORDS.filter(str.strip))
def test_every_row_and_key_that_utf_8_can_hold_is_stored(
    gateway: Gateway, stream: Stream, row: dict[str, Any], key: str
) -> None:
    """The other side of the test above: refusing all would pass it."""
    stream.news()
    try:
        body = json.dumps(put(row, key), allow_nan=False, ensure_ascii=False).encode()
    except (UnicodeEncodeError, ValueError):
        return
    answer = gateway.call("PUT", RECORD, body)
    assert answer.status == 200, (answer.body, body)
    check(answer, RECORD, body, stream.news())
