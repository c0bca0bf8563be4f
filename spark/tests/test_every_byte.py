"""Whatever an object holds: every byte of it is white space, in a record or in a reject, in bounded memory."""

import gzip
import hashlib
import json
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from batch_analyser.objects import pieces
from batch_analyser.objects.lines import Record, decode
from batch_analyser.objects.pieces import LINE_BYTES, MIB, REJECT_BYTES, Reject
from hypothesis import given
from hypothesis import strategies as st

ODD = [
    b"", b" \t", b"null", b"{}", b"[1]", b'{"ind":1}', b'{"offset":3,"value":{"ind":1}}', b'{"offset":3,"value":null}',
    b'{"offset":9,"value":1e999}', b'{"offset":4,"value":{"a":"\\ud83d"}}', b'{"offset":5,"va', b'"\xff"',
    b'{"offset":6,"value":{"a":"\xc3"}}', b"\xef\xbb\xbf{}", b"\0\0", b"[", b"]", b"{", b"}", b"\x1f\x8b",
    b'{"value":1}',
]  # fmt: skip
LINES = st.lists(st.one_of(st.sampled_from(ODD), st.binary(max_size=40)), max_size=12)
BODIES = st.one_of(LINES.map(b"\n".join), LINES.map(lambda lines: b"\r\n".join([*lines, b""])), st.binary(max_size=200))


def is_one_text(body: bytes) -> bool:
    """Whether the object is one JSON text over several lines, or an array of rows."""
    try:
        json.loads(body.removeprefix(pieces.BOM))
    except (ValueError, RecursionError):
        return False
    return True


@given(BODIES)
def test_every_line_is_a_record_or_a_reject_of_all_its_bytes(body: bytes) -> None:
    if body.startswith(pieces.GZIP_MAGIC):
        return
    items = list(decode(body, 0))
    if is_one_text(body) and not any(isinstance(item, Reject) for item in items):
        return
    lines = [line for line in body.removeprefix(pieces.BOM).split(b"\n") if line.strip()]
    assert len(items) == len(lines)
    for item, line in zip(items, lines, strict=True):
        if isinstance(item, Record):
            assert (item.value or "null").encode() in line
        else:
            assert (item.raw, item.size, item.sha256) == (line, len(line), hashlib.sha256(line).hexdigest())


@given(BODIES, st.integers(0, 9))
def test_packed_objects_give_what_plain_ones_give(body: bytes, level: int) -> None:
    if not body.startswith(pieces.GZIP_MAGIC):
        assert list(decode(gzip.compress(body, level), 0)) == list(decode(body, 0))


@given(BODIES, st.data())
def test_damage_is_a_reject_and_stops_nothing(body: bytes, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(body))
    packed[data.draw(st.integers(2, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(packed[: data.draw(st.integers(2, len(packed)))])
    for item in decode(cut, 0):
        assert isinstance(item, Record | Reject)


@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(1, 9), st.integers(1, 20))
def test_lines_are_the_same_wherever_the_pieces_end(lines: list[bytes], piece: int, longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_PIECE_BYTES", piece)
        patch.setattr(pieces, "LINE_BYTES", longest)
        patch.setattr(pieces, "REJECT_BYTES", longest)
        body = b"x" + b"\n".join(lines)
        for packed in (body, gzip.compress(body)):
            found = list(pieces.lines(packed))
            expected = body.removesuffix(b"\n").split(b"\n")
            assert len(found) == len(expected)
            for one, line in zip(found, expected, strict=True):
                if len(line) <= longest:
                    assert one == line
                else:
                    assert isinstance(one, Reject)
                    assert (one.raw, one.size) == (line[:longest], len(line))
                    assert one.sha256 == hashlib.sha256(line).hexdigest()


def packed(parts: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def test_a_line_without_an_end_takes_neither_memory_nor_quadratic_time() -> None:
    """It was 19 s and 1 GiB of memory for 254 KiB in the bucket."""
    size = 96 * MIB
    body = packed(b"x" * MIB for _ in range(size // MIB))
    assert len(body) < MIB
    tracemalloc.start()
    try:
        (found,) = list(decode(body, 0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(found, Reject)
    assert (found.size, len(found.raw), found.problem) == (size, REJECT_BYTES, "the line is longer than 8 MiB")
    assert peak < 4 * LINE_BYTES


def test_an_array_without_an_end_of_its_line_is_taken_up_to_a_limit() -> None:
    row = b'{"index":1,"description":"' + b"d" * 1000 + b'"}'
    body = b"[" + b",".join([row] * (10 * MIB // len(row))) + b"]"
    assert len(body) > LINE_BYTES
    items = list(decode(body, 0))
    assert len(items) == 10 * MIB // len(row)
    assert all(isinstance(item, Record) for item in items)
    (refused,) = decode(b"[" + b",".join([b"{}"] * 3_000_000) + b"]", 0)
    assert isinstance(refused, Reject)
    assert refused.size == 9_000_001
