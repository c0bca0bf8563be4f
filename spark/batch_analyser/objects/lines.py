"""From the lines of one object to its records, leniently.

Taken: envelopes with their keys in any order, bare rows, one row or many, JSON arrays, one row spread over
several lines; with or without a newline at the end. Whole lines of a truncated or half-written object are taken,
and what cannot be read is handed back as a reject: every byte is white space, in a record, or in a reject.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from pipeline_contracts.content import content_hash
from pipeline_contracts.objects import MAX_OFFSET, Line

from batch_analyser.objects.pieces import BOM, LINE_BYTES, MIB, GzipError, Reject, lines, pieces, reject
from batch_analyser.objects.taken import MOST_RUNS, Offsets

_WHOLE_BYTES: Final = 64 * MIB
_WHOLE_COMMAS: Final = 2_000_000
"""An object is taken as one JSON text up to here; each element of an array costs about a hundred bytes beside it."""
_ENVELOPE_FIELDS = {"offset", "value", "key", "timestamp", "headers"}

_line = msgspec.json.Decoder(Line)
_raw = msgspec.json.Decoder(msgspec.Raw)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder()
_NO_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_TOLD_OFFSET: Final = re.compile(rb'\s*\{\s*"offset"\s*:\s*(\d{1,19})\s*[,}]')


class Record(NamedTuple):
    """One record. ``value`` is its JSON text, None for a tombstone; ``timestamp`` is ISO text, as stored."""

    offset: int
    timestamp: str | None
    key: str | None
    value: str | None
    content_hash: str


class _Row(NamedTuple):
    """A decoded line: raw JSON of the value; the offset is None in a bare row."""

    line: bytes
    offset: int | None
    timestamp: str | None
    key: bytes
    value: bytes


def decode(body: bytes, first_offset: int, taken: Offsets | None = None) -> Iterator[Record | Reject]:
    """The records of one object, then or between them what could not be read.

    A row without an offset of its own gets ``first_offset`` plus its line number, from 0. The first line of an
    offset is its record. ``taken`` is filled with the offsets of the records. Never raises on bad bytes.
    """
    taken = Offsets() if taken is None else taken
    for number, raw in enumerate(_rows(body)):
        if isinstance(raw, Reject):
            yield raw._replace(row=number)
            continue
        if raw is None:
            continue
        offset = first_offset + number if raw.offset is None else raw.offset
        try:
            value, key = raw.value.decode(), _key_text(raw.key)
        except UnicodeDecodeError:
            yield reject(raw.line, "the line is not UTF-8", number, offset)
            continue
        if taken.full and offset not in taken:
            yield reject(raw.line, f"the object's offsets have more than {MOST_RUNS} gaps", number, offset)
        elif taken.add(offset):
            yield Record(
                offset=offset,
                timestamp=raw.timestamp,
                key=key,
                value=None if value == "null" else value,
                content_hash=content_hash(raw.value),
            )
        else:
            yield reject(raw.line, f"the offset {offset} occurs earlier in this object", number, offset)


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
    if first is None:
        return
    if _may_go_on(first):
        whole = _whole(body)
        if whole is not None:
            yield from whole
            return
    yield _one(first)
    for line in rest:
        yield _one(line)


def _may_go_on(first: bytes | Reject) -> bool:
    """Whether the object may be one JSON text over several lines, or an array of rows."""
    beginning = first.raw.removeprefix(BOM) if isinstance(first, Reject) else first
    return beginning.lstrip()[:1] == b"[" or (isinstance(first, bytes) and not isinstance(_one(first), _Row))


def _one(line: bytes | Reject) -> _Row | Reject | None:
    if isinstance(line, Reject):
        return line
    if not line or line.isspace():
        return None
    try:
        parsed = _line.decode(line)
    except _NO_JSON:
        return _lenient(line)
    return _Row(line, parsed.offset, parsed.timestamp, bytes(parsed.key), bytes(parsed.value))


def _lenient(line: bytes) -> _Row | Reject:
    """A line that is not an envelope of ours: an envelope without offset, a bare row, or no JSON."""
    try:
        _raw.decode(line)
        members = _members.decode(line) if line.lstrip()[:1] == b"{" else {}
        if "value" in members and members.keys() <= _ENVELOPE_FIELDS:
            return _Row(
                line=line,
                offset=_offset(_plain(members.get("offset"))),
                timestamp=_timestamp(_plain(members.get("timestamp"))),
                key=bytes(members.get("key", b"null")),
                value=bytes(members["value"]),
            )
    except _NO_JSON:
        return reject(line, "the line is not JSON", offset=_told_offset(line))
    return _Row(line, None, None, b"null", line.strip())


def _told_offset(line: bytes) -> int | None:
    """The offset with which a line of ours begins, though the rest of it cannot be read."""
    told = _TOLD_OFFSET.match(line)
    return None if told is None else _offset(int(told[1]))


def _whole(body: bytes) -> list[_Row] | None:
    """The object as one JSON text: an array of rows, or one row over several lines. None where it is neither."""
    text = bytearray()
    try:
        for piece in pieces(body):
            text += piece
            if len(text) > _WHOLE_BYTES:
                return None
        if text.startswith(BOM):
            del text[: len(BOM)]
        if text.count(b",") > _WHOLE_COMMAS:
            return None
        elements = _elements.decode(text) if text.lstrip()[:1] == b"[" else [text]
    except (*_NO_JSON, GzipError):
        return None
    rows = [_element(bytes(element)) for element in elements]
    whole = [row for row in rows if row is not None]
    return whole if len(whole) == len(rows) else None


def _element(text: bytes) -> _Row | None:
    row = _one(text) if len(text) <= LINE_BYTES else None
    try:
        return row if isinstance(row, _Row) and text.decode() else None
    except UnicodeDecodeError:
        return None


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


def _timestamp(value: object) -> str | None:
    """ISO text as it is; a number is milliseconds since 1970."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and type(value) is int:
        try:
            return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
        except (ValueError, OverflowError, OSError):
            return None
    return None


def _plain(raw: msgspec.Raw | None) -> object:
    """A part of an envelope; None where it is absent, or holds what no reader can."""
    try:
        return None if raw is None else _any.decode(raw)
    except _NO_JSON:
        return None
