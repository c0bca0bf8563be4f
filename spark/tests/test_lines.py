import gzip
import hashlib
import json
import zlib

import pytest
from batch_analyser.objects import taken
from batch_analyser.objects.lines import Record, decode, parse_timestamp
from batch_analyser.objects.pieces import REJECT_BYTES, Reject, reject
from batch_analyser.objects.taken import Offsets
from pipeline_contracts.content import content_hash
from pipeline_contracts.objects import MAX_OFFSET

ROW = {"ind": 7, "country": "Åland Islands", "note": "a 😀 b"}


def records(body: bytes, first: int = 0) -> list[Record]:
    items = list(decode(body, first))
    assert not [item for item in items if isinstance(item, Reject)]
    return [item for item in items if isinstance(item, Record)]


def rejects(body: bytes) -> list[Reject]:
    return [item for item in decode(body, 0) if isinstance(item, Reject)]


def envelope(offset: int, value: object = ROW, **more: object) -> bytes:
    return json.dumps(
        {"offset": offset, "value": value, "key": "7", "timestamp": "2026-01-01T00:00:00Z"} | more
    ).encode()


def test_an_envelope_in_any_key_order() -> None:
    body = b'{"timestamp":"2026-01-01T00:00:00.5Z","key":"7","value":{"ind":7},"headers":[],"offset":3}\n'
    assert records(body) == [Record(3, "2026-01-01T00:00:00.5Z", "7", '{"ind":7}', content_hash(b'{"ind":7}'))]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_plain_or_packed_with_or_without_an_end(end: bytes, pack: type) -> None:
    assert [record.offset for record in records(pack(envelope(4) + b"\n" + envelope(5) + end))] == [4, 5]


def test_bare_rows_count_on_from_the_first_offset() -> None:
    body = b'{"ind":1}\n\n{"ind":2}\nnull'
    assert [(record.offset, record.value) for record in records(body, 40)] == [
        (40, '{"ind":1}'),
        (42, '{"ind":2}'),
        (43, None),
    ]


@pytest.mark.parametrize(
    "body",
    [b'[{"ind":1},{"ind":2}]', b'[\n  {"ind":1},\n  {"ind":2}\n]\n', b'\xef\xbb\xbf[{"ind":1},{"ind":2}]'],
)
def test_an_array_of_rows(body: bytes) -> None:
    assert [json.loads(record.value or "") for record in records(body)] == [{"ind": 1}, {"ind": 2}]


def test_one_row_over_several_lines() -> None:
    (record,) = records(json.dumps(ROW, indent=2).encode())
    assert json.loads(record.value or "") == ROW


def test_escaped_and_plain_emoji_have_one_hash() -> None:
    plain, escaped = (json.dumps(ROW, ensure_ascii=ascii_).encode() for ascii_ in (False, True))
    assert plain != escaped
    assert records(plain)[0].content_hash == records(escaped)[0].content_hash


def test_a_line_that_is_no_json_keeps_the_offset_it_tells() -> None:
    line = b'{"offset":3,"value":{"a":"\\ud83d"},"key":"1"}'
    assert rejects(line) == [reject(line, "the line is not JSON", 0, 3)]


@pytest.mark.parametrize("line", [b'{"ind":1,"latitude":1e999}', b'{"offset":0,"value":{"ind":1,"latitude":1e999}}'])
def test_a_number_that_no_float_holds_is_json_in_a_bare_row_as_in_an_envelope(line: bytes) -> None:
    assert records(line)[0][:4] == (0, None, None, '{"ind":1,"latitude":1e999}')


def test_an_envelope_is_taken_whatever_its_time_is() -> None:
    (record,) = records(b'{"value":{"ind":1},"timestamp":1e999,"key":"k"}', 5)
    assert record[:4] == (5, None, "k", '{"ind":1}')


def test_an_envelope_without_offset_is_no_bare_row() -> None:
    assert records(b'{"value":{"ind":1}}\n{"value":{"ind":2}}', 9)[1][:4] == (10, None, None, '{"ind":2}')


def test_a_row_with_fields_named_like_an_envelopes_is_bare() -> None:
    (record,) = records(b'{"value":5,"ind":1}')
    assert record.value == '{"value":5,"ind":1}'


def test_a_tombstone_has_no_value() -> None:
    assert records(b'{"offset":1,"value":null,"key":null}')[0][:4] == (1, None, None, None)


def test_an_offset_is_taken_once_and_the_other_line_is_kept_as_a_reject() -> None:
    again = envelope(1, {"ind": 8})
    body = b"\n".join([envelope(0), envelope(1), again, envelope(2)])
    items = list(decode(body, 0))
    assert [item.offset for item in items if isinstance(item, Record)] == [0, 1, 2]
    assert rejects(body) == [reject(again, "the offset 1 occurs earlier in this object", 2, 1)]


def test_a_bare_row_is_not_lost_where_an_envelope_has_its_number() -> None:
    body = envelope(0) + b"\n" + envelope(2) + b'\n{"ind":9}'
    assert [item.raw for item in rejects(body)] == [b'{"ind":9}']


def test_offsets_with_too_many_gaps_are_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taken, "MOST_RUNS", 3)
    offsets = Offsets()
    body = b"\n".join(envelope(offset) for offset in (9, 5, 1, 7, 10, 5))
    items = list(decode(body, 0, offsets))
    assert [(type(item), item.offset) for item in items] == [
        (Record, 9), (Record, 5), (Record, 1), (Reject, 7), (Reject, 10), (Reject, 5),
    ]  # fmt: skip
    assert offsets.ranges() == [{"first": n, "next": n + 1} for n in (1, 5, 9)]


def test_a_bad_line_between_good_ones() -> None:
    body = envelope(1) + b'\n{"offset":2,"va\n' + envelope(3)
    items = list(decode(body, 0))
    assert [item.offset for item in items if isinstance(item, Record)] == [1, 3]
    assert rejects(body) == [reject(b'{"offset":2,"va', "the line is not JSON", 1, 2)]


def test_a_half_written_object_gives_its_whole_lines() -> None:
    body = envelope(1) + b"\n" + envelope(2)[:-9]
    items = list(decode(body, 0))
    assert [type(item) for item in items] == [Record, Reject]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_truncated_gzip_gives_its_whole_lines(cut: int) -> None:
    lines = [envelope(offset) for offset in range(50)]
    packed = gzip.compress(b"\n".join(lines))
    items = list(decode(packed[:-cut], 0))
    taken = [item for item in items if isinstance(item, Record)]
    assert taken == records(b"\n".join(lines))[: len(taken)]
    assert isinstance(items[-1], Reject)
    assert items[-1].problem == "the gzip stream ends early"


def test_a_damaged_gzip_is_told_from_a_short_one() -> None:
    packed = bytearray(gzip.compress(b"\n".join(envelope(offset) for offset in range(50))))
    packed[-6] ^= 0xFF  # the checksum
    (found,) = rejects(bytes(packed))
    assert found.problem == "the gzip stream is damaged"


def test_gzip_members_behind_each_other() -> None:
    assert len(records(gzip.compress(envelope(1) + b"\n") + gzip.compress(envelope(2)))) == 2


def test_text_that_is_not_utf_8_is_rejected_with_its_offset() -> None:
    line = b'{"offset":8,"value":{"a":"\xff"}}'
    assert rejects(line) == [reject(line, "the line is not UTF-8", 0, 8)]


def test_a_reject_keeps_a_bounded_part_beside_length_and_hash_of_all() -> None:
    line = b"x" * (REJECT_BYTES + 1)
    (found,) = rejects(line)
    assert (found.raw, found.size) == (line[:REJECT_BYTES], len(line))
    assert found.sha256 == hashlib.sha256(line).hexdigest()


@pytest.mark.parametrize("body", [b"", b"\n", gzip.compress(b"")])
def test_an_empty_object_holds_nothing(body: bytes) -> None:
    assert list(decode(body, 0)) == []


@pytest.mark.parametrize("value", [b"5", b'"text"', b"[1]", b"true"])
def test_values_of_any_type_are_records(value: bytes) -> None:
    assert records(b'{"offset":1,"value":' + value + b"}")[0].value == value.decode()


def test_deep_nesting_is_a_reject_not_a_crash() -> None:
    assert len(rejects(b'{"offset":1,"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}")) == 1


@pytest.mark.parametrize(("cut", "taken"), [(b"234", 1), (b'{"ind":2}', 2), (b'{"ind":', 1)])
def test_a_cut_line_counts_only_where_it_is_surely_whole(cut: bytes, taken: int) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(b'{"ind":1}\n' + cut) + packer.flush(zlib.Z_SYNC_FLUSH)
    items = list(decode(packed, 0))
    assert len([item for item in items if isinstance(item, Record)]) == taken
    (found,) = [item for item in items if isinstance(item, Reject)]
    assert found.raw == (b"" if taken == 2 else cut)


@pytest.mark.parametrize("offset", [-1, MAX_OFFSET + 1, 10**19, 10**400])
def test_an_offset_that_no_log_holds_is_none(offset: int) -> None:
    (record,) = records(b'{"offset":%d,"value":{"ind":1}}' % offset, 7)
    assert record.offset == 7


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", "yesterday"])
def test_a_moment_that_no_calendar_of_ours_holds_is_none(text: str) -> None:
    assert parse_timestamp(text) is None
