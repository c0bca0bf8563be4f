"""From the bytes of one object to its records, leniently.

Taken: envelopes with their keys in any order, bare rows, one row or many, JSON arrays, one row spread over
several lines; gzip or plain, told by the bytes and not by the name; with or without a newline at the end. Whole
lines of a truncated or half-written object are taken, and what cannot be read is handed back as a reject.
"""

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from pipeline_contracts.content import content_hash
from pipeline_contracts.objects import MAX_OFFSET, Line

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
REJECT_BYTES = 65_536
"""At most this much of what cannot be read is kept."""

_PIECE_BYTES = 4 * 1024 * 1024
_WHOLE_BYTES = 64 * 1024 * 1024
_ENVELOPE_FIELDS = {"offset", "value", "key", "timestamp", "headers"}

_line = msgspec.json.Decoder(Line)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder()


class Record(NamedTuple):
    """One record. ``value`` is its JSON text, None for a tombstone; ``timestamp`` is ISO text, as stored."""

    offset: int
    timestamp: str | None
    key: str | None
    value: str | None
    content_hash: str


class Reject(NamedTuple):
    """Bytes that are no record, at most ``REJECT_BYTES`` of them. ``offset`` is None where it is unknown."""

    row: int
    offset: int | None
    raw: bytes
    problem: str


class _Row(NamedTuple):
    """A decoded line: raw JSON of the value; the offset is None in a bare row."""

    offset: int | None
    timestamp: str | None
    key: bytes
    value: bytes


class _TruncatedError(Exception):
    """A gzip stream that ends early or is damaged. What came before it has been yielded."""


def decode(body: bytes, first_offset: int) -> Iterator[Record | Reject]:
    """The records of one object, then or between them what could not be read.

    A row without an offset of its own gets ``first_offset`` plus its line number, from 0. An offset that occurs
    twice in the object is taken once. Never raises on bad bytes.
    """
    seen: set[int] = set()
    for number, raw in enumerate(_rows(body)):
        if isinstance(raw, Reject):
            yield raw._replace(row=number)
            continue
        if raw is None:
            continue
        offset = first_offset + number if raw.offset is None else raw.offset
        if offset in seen:
            continue
        seen.add(offset)
        try:
            value = raw.value.decode()
            yield Record(
                offset=offset,
                timestamp=raw.timestamp,
                key=_key_text(raw.key),
                value=None if value == "null" else value,
                content_hash=content_hash(raw.value),
            )
        except UnicodeDecodeError:
            yield Reject(number, offset, raw.value[:REJECT_BYTES], "the value is not UTF-8")


def parse_timestamp(text: str | None) -> datetime | None:
    """An ISO timestamp in UTC; None for a missing or unreadable one."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # no date; in UTC before the year 1 or after 9999
        return None


def _rows(body: bytes) -> Iterator[_Row | Reject | None]:
    """One entry per line; None for a blank one, which still counts as a line."""
    rest = lines(body)
    first = next(rest, None)
    if first is not None and _may_go_on(first):
        whole = _whole(body)
        if whole is not None:
            yield from whole
            return
    if first is None:
        return
    yield _one(first)
    for line in rest:
        yield _one(line)


def _may_go_on(first: bytes | Reject) -> bool:
    """Whether the object may be one JSON text over several lines, or an array of rows."""
    return isinstance(first, bytes) and (first.lstrip()[:1] == b"[" or not isinstance(_one(first), _Row))


def _one(line: bytes | Reject) -> _Row | Reject | None:
    if isinstance(line, Reject):
        return line
    if not line or line.isspace():
        return None
    try:
        parsed = _line.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _lenient(line)
    return _Row(parsed.offset, parsed.timestamp, bytes(parsed.key), bytes(parsed.value))


def _lenient(line: bytes) -> _Row | Reject:
    """A line that is not an envelope of ours: an envelope without offset, a bare row, or no JSON."""
    try:
        _any.decode(line)
        members = _members.decode(line) if line.lstrip()[:1] == b"{" else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Reject(0, None, line[:REJECT_BYTES], "the line is not JSON")
    if "value" in members and members.keys() <= _ENVELOPE_FIELDS:
        return _Row(
            offset=_offset(_any.decode(members.get("offset", b"null"))),
            timestamp=_timestamp(members.get("timestamp")),
            key=bytes(members.get("key", b"null")),
            value=bytes(members["value"]),
        )
    return _Row(None, None, b"null", line.strip())


def _whole(body: bytes) -> list[_Row] | None:
    """The object as one JSON text: an array of rows, or one row over several lines. None where it is neither."""
    text = bytearray()
    for line in lines(body):
        if isinstance(line, Reject):
            return None
        text += line + b"\n"
        if len(text) > _WHOLE_BYTES:
            return None
    try:
        elements = [bytes(e) for e in _elements.decode(text)] if text.lstrip()[:1] == b"[" else [bytes(text)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    rows = [_one(element) for element in elements]
    return [row for row in rows if isinstance(row, _Row)] if all(isinstance(row, _Row) for row in rows) else None


def lines(body: bytes) -> Iterator[bytes | Reject]:
    """Lines without their ends. A damaged gzip stream ends in a reject that holds the bytes of its last, cut line."""
    rest = b""
    first = True
    try:
        for piece in _pieces(body):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.removeprefix(BOM) if first else line
                first = False
    except _TruncatedError as error:
        # A closing brace proves that an object is whole; a number or word may go on behind the cut.
        if rest.rstrip().endswith(b"}") and isinstance(_one(rest), _Row):
            yield rest.removeprefix(BOM) if first else rest
            rest = b""
        yield Reject(0, None, rest[:REJECT_BYTES], str(error))
        return
    if rest:
        yield rest.removeprefix(BOM) if first else rest


def _pieces(body: bytes) -> Iterator[bytes]:
    """The plain bytes, some megabytes at a time, so that a small object cannot grow into all memory.

    Raises:
        _TruncatedError: after all that could be unpacked.
    """
    if not body.startswith(GZIP_MAGIC):
        yield body
        return
    members = 0
    while body:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            while not unpacker.eof:
                piece = unpacker.decompress(body, _PIECE_BYTES)
                body = unpacker.unconsumed_tail
                if not piece and not unpacker.eof and not body:
                    raise _TruncatedError("the gzip stream ends early")
                yield piece
        except zlib.error as error:
            if members and not body.startswith(GZIP_MAGIC) and not body.strip(b"\0"):
                return  # zeros behind the last member are padding
            raise _TruncatedError("the gzip stream is damaged") from error
        members += 1
        body = unpacker.unused_data.lstrip(b"\0")


def _key_text(raw: bytes) -> str | None:
    """A text key as text; None for null; anything else as its JSON."""
    if raw == b"null":
        return None
    if raw[:1] == b'"':
        try:
            return str(_any.decode(raw))
        except msgspec.MsgspecError:
            pass
    return raw.decode()


def _offset(value: object) -> int | None:
    return value if isinstance(value, int) and type(value) is int and 0 <= value <= MAX_OFFSET else None


def _timestamp(raw: msgspec.Raw | None) -> str | None:
    """ISO text as it is; a number is milliseconds since 1970."""
    value: Any = None if raw is None else _any.decode(raw)
    if isinstance(value, str):
        return value
    if type(value) is int:
        try:
            return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
        except (ValueError, OverflowError, OSError):
            return None
    return None
