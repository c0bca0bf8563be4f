import gzip
import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_contracts import dead_letters
from pipeline_contracts.objects import Line
from s3_sink.encoding import PoisonError, compress, cut_letter, dead_letter, encode_line, timestamp
from s3_sink.ports import DeadLetter, Header, HeadersError, Record, TopicPartition

PLACE = TopicPartition("pinterest.pin", 2)
EXAMPLE = Path(__file__).resolve().parents[3] / "packages" / "contracts" / "examples" / "object-line.json"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def record(
    value: bytes | None, key: bytes | None = b"9455", milliseconds: int | None = 1_795_440_139_499, *headers: Header
) -> Record:
    return Record(PLACE, 23, key, value, milliseconds, lambda: headers)


def test_the_example_of_the_contracts() -> None:
    example = EXAMPLE.read_bytes().strip()
    line = msgspec.json.decode(example, type=Line)
    made = encode_line(record(bytes(line.value), b"6717"), "json")
    assert made == example + b"\n"


def test_the_value_is_taken_over_byte_by_byte() -> None:
    value = '{"b":1.10, "a":"é\\u00e9 🎉\\n\\/","n":12345678901234567890,"e":1E400}'.encode()
    assert b'"value":' + value + b',"key"' in encode_line(record(value), "json")


@given(json_values)
def test_any_json_however_it_is_spaced_becomes_one_line(value: object) -> None:
    for text in (json.dumps(value, indent=2), json.dumps(value, ensure_ascii=False, indent="\r\n")):
        try:
            raw = text.encode()
        except UnicodeEncodeError:  # lone surrogates are not UTF-8
            continue
        line = encode_line(record(raw), "json")
        assert line.count(b"\n") == 1
        assert b"\r" not in line
        assert json.loads(line)["value"] == value


@pytest.mark.parametrize("value", [b"0", b"false", b"null", b"{}", b'""', b" 1 ", b"[1,\n2]"])
def test_any_json_value_is_taken(value: bytes) -> None:
    assert json.loads(encode_line(record(value), "json"))["value"] == json.loads(value)


def test_a_tombstone_is_null() -> None:
    assert json.loads(encode_line(record(None), "json"))["value"] is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [(None, None), (b"", ""), (b"9455", "9455"), ('a"é\n🎉'.encode(), 'a"é\n🎉'), ("٣".encode(), "٣"), (b"\x00", "\0")],
)
def test_a_key_is_text(key: bytes | None, expected: str | None) -> None:
    assert json.loads(encode_line(record(b"1", key), "json"))["key"] == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "the value is empty"),
        (b"not json {", "the value is not JSON"),
        (b"\xff\xfe", "the value is not JSON"),
        (b'{"a":"\xff\xfe"}', "the value is not UTF-8: invalid start byte at byte 6"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'{"n":NaN}', "not JSON"),
        (b'{"a":"\\ud83d"}', "not JSON"),
        (b'{"n":5} xyz', "not JSON"),
        (b'{"n":6}{"m":6}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b"{},{}" + b" " * 4_096, "not JSON"),
        (b"1],[2" + b" " * 4_096, "not JSON"),
        (b" " * 5_000, "not JSON"),
    ],
)
def test_poison_values(value: bytes, reason: str) -> None:
    with pytest.raises(PoisonError, match=reason) as caught:
        encode_line(record(value), "json")
    assert caught.value.stage == "VALUE_CONVERTER"


def test_a_poison_key() -> None:
    with pytest.raises(PoisonError, match="the key is not UTF-8") as caught:
        encode_line(record(b"1", b"\xff"), "json")
    assert caught.value.stage == "KEY_CONVERTER"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_value_that_only_just_can_be_read_is_poison_before_a_reader_fails(opening: bytes) -> None:
    """A line and its readers nest a value some levels more."""
    closing = b"]" if opening == b"[" else b"}"
    lines = 0
    for depth in range(9_800, 10_010):
        value = opening * depth + b"1" + closing * depth
        try:
            line = encode_line(record(value), "json")
        except PoisonError:
            continue
        msgspec.json.decode(b"[[[[%b]]]]" % line)
        lines += 1
    assert 0 < lines < 200


@given(st.binary(max_size=20), st.none() | st.binary(max_size=5))
def test_every_record_is_a_readable_line_or_poison(value: bytes, key: bytes | None) -> None:
    try:
        line = encode_line(record(value, key), "json")
    except PoisonError:
        return
    read = msgspec.json.decode(line, type=Line)
    assert read.offset == 23
    assert msgspec.json.decode(read.value) is not ...


def test_bytes_are_base64_and_headers_text() -> None:
    headers = (Header("__connect.errors.offset", b"7"), Header("none", None), Header("raw", b"\xff"))
    line = json.loads(encode_line(record(b"\xff\xfe", None, 1_700_000_000_000, *headers), "bytes"))
    assert line == {
        "offset": 23,
        "key": None,
        "value": "//4=",
        "timestamp": "2023-11-14T22:13:20Z",
        "headers": [
            {"key": "__connect.errors.offset", "value": "7"},
            {"key": "none", "value": None},
            {"key": "raw", "value": "\N{REPLACEMENT CHARACTER}"},
        ],
    }


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (1_700_000_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        (-62_135_596_800_001, None),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, None),
        (2**63 - 1, None),
    ],
)
def test_timestamps_as_the_connector_writes_them(milliseconds: int, expected: str | None) -> None:
    assert timestamp(milliseconds) == expected


def test_a_record_without_a_timestamp_that_a_calendar_holds() -> None:
    assert json.loads(encode_line(record(b"1", None, 2**63 - 1), "json"))["timestamp"] is None
    assert json.loads(encode_line(record(b"1", None, None), "json"))["timestamp"] is None


def test_equal_lines_give_equal_bytes() -> None:
    body = compress([b"a\n", b"b\n"])
    assert body == compress([b"a\n", b"b\n"])
    assert body[4:8] == b"\0\0\0\0"
    assert gzip.decompress(body) == b"a\nb\n"
    assert gzip.decompress(compress([])) == b""


def test_a_dead_letter_names_its_origin() -> None:
    poison = record(b"\xff", b"k", 5, Header("own", b"x"))
    letter = dead_letter(poison, PoisonError("VALUE_CONVERTER", "é" * 5_000), "the-sink", "log-1")
    assert (letter.key, letter.value) == (b"k", b"\xff")
    assert letter.headers == (Header("own", b"x"),)
    headers = {header.key: header.value for header in letter.origin}
    assert headers == {
        dead_letters.TOPIC: b"pinterest.pin",
        dead_letters.PARTITION: b"2",
        dead_letters.OFFSET: b"23",
        dead_letters.CONNECTOR: b"the-sink",
        dead_letters.STAGE: b"VALUE_CONVERTER",
        dead_letters.MESSAGE: ("é" * 1_000).encode(),
        dead_letters.LOG_ID: b"log-1",
    }
    size = sum(len(header.key) + len(header.value or b"") + 20 for header in letter.origin)
    assert size < dead_letters.HEADER_ROOM_BYTES


def test_what_is_too_large_of_a_letter_is_cut_and_named() -> None:
    own = (Header("own", b"h" * 50),)
    letter = DeadLetter(b"k" * 50, b"v" * 200, own, (Header("o", b"1"),))
    assert cut_letter(letter, 200) == letter
    cut = cut_letter(letter, 50)
    digest = hashlib.blake2b(b"v" * 200, digest_size=16).hexdigest()
    assert (cut.key, cut.value, cut.headers) == (b"k" * 50, b"v" * 50, ())
    assert cut.origin[:2] == (Header("o", b"1"), Header("pipeline.cut-value", f"200 bytes, blake2b {digest}".encode()))
    assert [one.key for one in cut.origin] == ["o", "pipeline.cut-value", "pipeline.cut-headers"]
    assert cut_letter(DeadLetter(None, None, ()), 0) == DeadLetter(None, None, ())


def test_headers_that_cannot_be_read_leave_a_word_in_their_place() -> None:
    def unreadable() -> tuple[Header, ...]:
        raise HeadersError("the key of a header is not UTF-8")

    bad = Record(PLACE, 23, b"k", b"{}", 0, unreadable)
    assert json.loads(encode_line(bad, "json"))["value"] == {}, "an object of events has no headers"
    said = Header("pipeline.unreadable-headers", b"the key of a header is not UTF-8")
    assert dead_letter(bad, PoisonError("VALUE_CONVERTER", "x"), "the-sink", "log-1").headers == (said,)
    assert json.loads(encode_line(bad, "bytes"))["headers"] == [
        {"key": said.key, "value": (said.value or b"").decode()}
    ]
