"""Any record gives a line that ingest reads back as the same record, or a dead letter; never an exception."""

import json
from datetime import UTC, datetime

import msgspec
from batch_analyser.objects.dead_letters import DeadLetter as ReadLetter
from batch_analyser.objects.dead_letters import decode_dead_letters
from batch_analyser.objects.lines import Record as ReadRecord
from batch_analyser.objects.lines import decode, parse_timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from s3_sink.coverage import Hole
from s3_sink.encoding import encode_line
from s3_sink.ports import DeadLetter, Header, HeadersError, Record, TopicPartition
from s3_sink.window import Window

PLACE = TopicPartition("a.pin", 1)
YEAR_1, YEAR_10000 = -62_135_596_800_000, 253_402_300_800_000

json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
).map(lambda value: json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass"))


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    """Bytes of all sorts; mostly JSON with something wrong, and of every size about the limits."""
    if draw(st.integers(0, 20)) == 0:
        return None
    pieces = st.sampled_from([b"{", b"}", b"[", b"]", b",", b'"', b"\\", b" ", b"\n", b"\0", b"\xff", b"\\ud83d", b"1"])
    text = draw(json_texts | st.binary(max_size=30))
    before, behind = draw(st.lists(pieces, max_size=2)), draw(st.lists(pieces | json_texts, max_size=3))
    padding = b" " * draw(st.sampled_from([0, 0, 4_096, 70_000]))
    return b"".join([*before, text, padding, *behind])


@st.composite
def records(draw: st.DrawFn) -> Record:
    def headers() -> tuple[Header, ...]:
        if unreadable:
            msg = "not UTF-8"
            raise HeadersError(msg)
        return tuple(Header(key, value) for key, value in given_headers)

    unreadable = draw(st.booleans())
    given_headers = draw(st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=3))
    given_headers = [(key.encode("utf-8", "replace").decode(), value) for key, value in given_headers]
    return Record(
        PLACE,
        draw(st.integers(0, 2**62)),
        draw(st.none() | st.binary(max_size=9) | st.text(max_size=9).map(lambda text: text.encode("utf-8", "replace"))),
        draw(values()),
        draw(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(YEAR_1 - 2, YEAR_10000 + 2)),
        headers,
    )


def taken(record: Record) -> tuple[list[bytes], list[DeadLetter]]:
    window = Window(Hole(record.offset, None), "json", "the-sink", "log-1")
    window.take(record)
    cut = window.cut()
    return cut.lines, cut.dead_letters


@settings(max_examples=200, deadline=None)
@given(records())
@example(Record(PLACE, 0, None, b"{}," + b" " * 4_096 + b"{}", 0))
@example(Record(PLACE, 0, None, b"1],[2" + b" " * 4_096, 0))
@example(Record(PLACE, 0, None, b" " * 4_096, 0))
@example(Record(PLACE, 0, None, b"1", 2**63 - 1))
def test_a_record_is_read_back_or_is_a_dead_letter(record: Record) -> None:
    lines, letters = taken(record)
    assert len(lines) + len(letters) == 1
    if letters:
        assert (letters[0].key, letters[0].value) == (record.key, record.value)
        read_back_as_dead_letter(record, letters[0])
        return
    (read,) = decode(lines[0], 0)
    assert isinstance(read, ReadRecord), read
    assert read.offset == record.offset
    assert read.key == (None if record.key is None else record.key.decode())
    value = None if record.value is None else msgspec.json.decode(record.value)
    assert msgspec.json.decode(read.value or "null") == value
    inside = record.timestamp_ms is not None and YEAR_1 <= record.timestamp_ms < YEAR_10000
    assert (read.timestamp is not None) == inside
    if inside and record.timestamp_ms is not None:
        moment = parse_timestamp(read.timestamp)
        assert moment is not None
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        assert since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000 == record.timestamp_ms


def read_back_as_dead_letter(record: Record, letter: DeadLetter) -> None:
    stored = Record(
        TopicPartition("a.dlq", 0), 5, letter.key, letter.value, 0, lambda: (*letter.headers, *letter.origin)
    )
    (read,) = decode_dead_letters(encode_line(stored, "bytes"))
    assert isinstance(read, ReadLetter), read
    assert (read.topic, read.partition, read.offset, read.log_id) == (*PLACE, record.offset, "log-1")
    assert read.raw == (record.value or b"")
