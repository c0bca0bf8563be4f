import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_proxy.envelope import parse
from ingest_proxy.errors import BadRequestError, InvalidEnvelopeError
from ingest_proxy.outline import has_more_records, repeated_field

MIB = 1024 * 1024
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.fixed_dictionaries({"value": VALUES}), max_size=6), st.integers(0, 7), st.booleans())
def test_records_are_counted_as_they_are_decoded(records: list[Any], limit: int, escaped: bool) -> None:
    body = json.dumps({"records": records, "key_schema": '{["}'}, ensure_ascii=escaped).encode("utf-8", "replace")
    assert has_more_records(body, limit) is (len(records) > limit)


@given(st.lists(st.tuples(st.sampled_from(["records", "key_schema", "rec"]), VALUES), max_size=4), st.booleans())
def test_a_field_that_stands_twice_is_found(fields: list[tuple[str, Any]], escaped: bool) -> None:
    def name(text: str) -> str:
        return '"' + "".join(f"\\u{ord(letter):04x}" for letter in text) + '"' if escaped else json.dumps(text)

    body = "{" + ",".join(f"{name(field)} : {json.dumps(value)}" for field, value in fields) + "}"
    names = [field for field, _ in fields]
    twice = names.count("records") > 1 or (escaped and len(set(names)) < len(names))
    found = repeated_field(body.encode())
    assert found is None or names.count(found) > 1
    assert (found is not None) or not twice


@pytest.mark.parametrize(
    "body",
    [
        b'{"records":[{"value":1}],"records":[{"value":2}]}',
        b'{"records":[{"value":1}],"\\u0072ecord\\u0073" :[{"value":2}]}',
        b'{"records":[{"value":%b}],"records":[{"value":2}]}' % (b"[" * 5000 + b"]" * 5000),
    ],
)
def test_records_that_would_be_dropped_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidEnvelopeError, match="The field records occurs twice"):
        parse(body, "json", 10)


def test_a_field_twice_in_a_record_or_value_is_the_readers_matter() -> None:
    body = b'{"records":[{"key":1,"key":2,"value":{"records":1,"records":2}}]}'
    assert parse(body, "json", 10)[0].key == b"2"


@pytest.mark.parametrize("body", [b"{},", b'{"value":{}},', b'{"value":"\\"{"},'])
def test_too_many_records_are_refused_before_they_are_held(body: bytes) -> None:
    sent = b'{"records":[' + body * (MIB // len(body)) + b"{}]}"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidEnvelopeError, match="More than 1000 records"):
            parse(sent, "json", 1000)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(sent)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [b'"', b'\\"', b"{", b"[", b'{"', b'"\\'])
def test_no_bytes_make_it_slow(piece: bytes) -> None:
    body = b'{"records":[' + piece * (MIB // len(piece))
    began = time.process_time()
    with pytest.raises((BadRequestError, InvalidEnvelopeError)):
        parse(body, "json", 100_000)
    assert time.process_time() - began < 5
