import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from pipeline_contracts.content import canonical_json, content_hash
from pipeline_contracts.events import record_key


def test_white_space_and_key_order_do_not_matter() -> None:
    assert content_hash(b'{"b": 1,\n "a": [2, {"d":1,"c":0}]}') == content_hash(b'{"a":[2,{"c":0,"d":1}],"b":1}')


def test_escapes_do_not_matter() -> None:
    assert content_hash(b'{"a":"\\u00e9\\/"}') == content_hash('{"a":"é/"}'.encode())


@pytest.mark.parametrize(("one", "other"), [(b"1", b"1.0"), (b'"1"', b"1"), (b"{}", b"null"), (b"{", b"{ ")])
def test_different_values_have_different_hashes(one: bytes, other: bytes) -> None:
    assert content_hash(one) != content_hash(other)


def test_hash_is_fixed_for_ever() -> None:
    """The hash stands in tables and ledgers: a new way to compute it would make every repeat a version."""
    assert content_hash(b'{"b":1,"a":2}') == "cf18a029e5a0c29229df0753ee807c70"
    assert content_hash(None) == content_hash(b"null")


@pytest.mark.parametrize("text", [b"\xff", b"not json", b"1e400", b"", b"[" * 100_000])
def test_what_is_not_json_is_hashed_as_it_is(text: bytes) -> None:
    assert canonical_json(text) == text
    assert len(content_hash(text)) == 32


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_canonical_json_is_a_fixed_point(value: object) -> None:
    once = canonical_json(json.encode(value))
    assert canonical_json(once) == once


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"index": 7}, "7"),
        ({"ind": 0}, "0"),
        ({"index": "7"}, None),
        ({"ind": True}, None),
        ({"ind": -1}, None),
        ({"ind": 2**31}, None),
        ({"index": None, "ind": 3}, "3"),
        ({}, None),
    ],
)
def test_record_key(row: dict[str, object], key: str | None) -> None:
    assert record_key(row) == key
