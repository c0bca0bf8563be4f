import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_proxy.envelope import Record, parse, refuse_without_schema
from ingest_proxy.errors import (
    BadRequestError,
    InvalidEnvelopeError,
    KeySchemaMissingError,
    ProxyError,
    ValueSchemaMissingError,
)


def one(record: bytes) -> Record:
    (parsed,) = parse(b'{"records":[%b]}' % record, "json", 10)
    return parsed


@pytest.mark.parametrize(
    "value", [b"0", b"false", b"{}", b"[]", b'""', b"1e999", b"-0", b'{"b":1,"a":[1, 2.50]}', b'"\\u00e9"']
)
def test_a_value_is_stored_as_it_was_sent(value: bytes) -> None:
    assert one(b'{"value":%b}' % value) == Record(None, value)


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        (b'"9455"', b"9455"),
        (b"9455", b"9455"),
        ('"Åland 😀"'.encode(), "Åland 😀".encode()),
        (b'"\\u00c5"', "Å".encode()),
        (b'""', b""),
        (b"null", None),
        (b'{"a":1}', b'{"a":1}'),
        (b"true", b"true"),
    ],
)
def test_keys(key: bytes, stored: bytes | None) -> None:
    assert one(b'{"key":%b,"value":1}' % key).key == stored


def test_tombstones_and_keys_alone() -> None:
    assert one(b'{"value":null,"key":"a"}') == Record(b"a", None)
    assert one(b'{"key":"a"}') == Record(b"a", None)
    assert one(b'{"value":null,"partition":2}') == Record(None, None, 2)


def test_line_breaks_between_tokens_go_and_those_in_texts_stay_escaped() -> None:
    assert one(b'{"value": {\r\n "a":\n "x\\ny" }\n}').value == b'{ "a": "x\\ny" }'


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from([None, 0, 2]),
)
def test_any_json_survives(value: object, indent: int | None) -> None:
    body = json.dumps({"records": [{"value": value, "key": value}]}, indent=indent, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
    (record,) = parse(body, "json", 1)
    assert json.loads(record.value or b"null") == value
    assert b"\n" not in (record.value or b"")
    if isinstance(value, str):
        assert record.key == value.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"records":[{"value":1}',
        b'{"records":[{"ind":1}',  # a wrong field before the end that is missing
        b'{"records":[{"value":"\xff"}]}',
        b'{"records":[{"value":"\xc3\xa9\xc3"}]}',
        b"\xef\xbb\xbf" + b'{"records":[{}]}',
        b'{"records":[{"value":"a\nb"}]}',
        b'{"records":[{"value":01}]}',
        b'{"records":[{"value":NaN}]}',
        b'{"records":[{"value":1}]} {}',
        b'{"records":[{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse(body, "json", 10)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "Expected `object`, got `array`"),
        (b"1", "Expected `object`, got `int`"),
        (b"{}", "Object missing required field `records`"),
        (b'{"records":[]}', "records may not be empty"),
        (b'{"records":null}', "Expected `array`, got `null` - at `$.records`"),
        (b'{"records":[1]}', "Expected `object`, got `int` - at `$.records[0]`"),
        (b'{"records":[{"ind":1}]}', "Unrecognized field: ind"),
        (b'{"ind":1,"records":[{}]}', "Unrecognized field: ind"),
        (b'{"records":[{"partition":"x"}]}', "Expected `int | float | null`, got `str` - at `$.records[0].partition`"),
        (
            b'{"records":[{"partition":true}]}',
            "Expected `int | float | null`, got `bool` - at `$.records[0].partition`",
        ),
        (b'{"records":[{},{},{},{}]}', "More than 3 records in one request; at most 3 are taken"),
    ],
)
def test_what_is_no_produce_request(body: bytes, message: str) -> None:
    with pytest.raises(InvalidEnvelopeError) as caught:
        parse(body, "json", 3)
    assert caught.value.message == message


def test_partitions_are_whole_numbers() -> None:
    assert one(b'{"partition":2.0}').partition == 2
    for partition in (b"1.5", b"1e400"):
        with pytest.raises(ProxyError):
            one(b'{"partition":%b}' % partition)


def test_fields_of_schemas_are_allowed_and_ignored() -> None:
    assert parse(b'{"value_schema_id":null,"key_schema":"x","records":[{"value":1}]}', "json", 1) == [
        Record(None, b"1")
    ]


def test_binary() -> None:
    body = b'{"records":[{"value":"%b","key":"%b"},{"value":""},{}]}' % (
        base64.b64encode(b"\xff\x00"),
        base64.b64encode(b"k"),
    )
    assert parse(body, "binary", 3) == [Record(b"k", b"\xff\x00"), Record(None, b""), Record(None, None)]


@pytest.mark.parametrize("value", [b'"not base64"', b'"YQ"', b"1", b"{}", '"Å"'.encode()])
def test_what_is_not_base64(value: bytes) -> None:
    with pytest.raises(InvalidEnvelopeError, match=r"\$\.records\[1\]"):
        parse(b'{"records":[{},{"value":%b}]}' % value, "binary", 3)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"records":[{"key":1,"value":1}]}', KeySchemaMissingError),
        (b'{"key_schema_id":1,"records":[{"key":1,"value":1}]}', ValueSchemaMissingError),
        (b'{"records":[{"value":1}]}', ValueSchemaMissingError),
        (b"{", BadRequestError),
        (b'{"records":[]}', InvalidEnvelopeError),
    ],
)
def test_formats_with_schemas(body: bytes, error: type[ProxyError]) -> None:
    with pytest.raises(error):
        refuse_without_schema(body, 10)


def test_a_request_with_its_schemas_passes() -> None:
    refuse_without_schema(b'{"value_schema":"{}","records":[{"value":1}]}', 10)
