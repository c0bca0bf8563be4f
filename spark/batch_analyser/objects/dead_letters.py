"""From the bytes of one object of the dead-letter topic to the records that could not be archived.

Each carries its origin's coordinate in headers; a dead letter without them (another installation's) keeps its
own. The same record can be dead-lettered twice, so that the origin's coordinate, not the letter's, counts.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec
from pipeline_contracts import dead_letters as headers
from pipeline_contracts.lake import REASONS
from pipeline_contracts.objects import MAX_OFFSET, MAX_PARTITION, integer

from batch_analyser.objects.pieces import Reject, lines, reject


class DeadLetter(NamedTuple):
    """A record that never reached an object of its own topic. ``log_id`` is None where no header tells it."""

    own_offset: int
    log_id: str | None
    topic: str | None
    partition: int
    offset: int
    timestamp: str | None
    raw: bytes
    reason: str


class _Header(msgspec.Struct):
    key: str
    value: Any = None


class _Letter(msgspec.Struct):
    offset: Annotated[int, msgspec.Meta(ge=0, le=MAX_OFFSET)]
    value: str | None = None
    timestamp: str | None = None
    headers: list[_Header] = []  # msgspec copies it


_letter = msgspec.json.Decoder(_Letter)


def decode_dead_letters(body: bytes) -> Iterator[DeadLetter | Reject]:
    """The dead letters of one object, and what could not be read as one. Never raises on bad bytes."""
    for number, line in enumerate(lines(body)):
        if isinstance(line, Reject):
            yield line._replace(row=number)
        elif line and not line.isspace():
            yield _decode(number, line)


def _decode(number: int, line: bytes) -> DeadLetter | Reject:
    try:
        letter = _letter.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return reject(line, "the line is no dead letter", number)
    told = {header.key: header.value for header in letter.headers if isinstance(header.value, str | int)}
    partition = integer(str(told.get(headers.PARTITION, "")), MAX_PARTITION)
    offset = integer(str(told.get(headers.OFFSET, "")), MAX_OFFSET)
    origin = told.get(headers.TOPIC)
    known = isinstance(origin, str) and partition is not None and offset is not None
    log_id = told.get(headers.LOG_ID)
    message = str(told.get(headers.MESSAGE, ""))
    return DeadLetter(
        own_offset=letter.offset,
        log_id=str(log_id) if known and log_id is not None else None,
        topic=str(origin) if known else None,
        partition=partition if known and partition is not None else 0,
        offset=offset if known and offset is not None else letter.offset,
        timestamp=letter.timestamp,
        raw=_bytes(letter.value),
        reason=message if message in REASONS else "not_json",
    )


def _bytes(value: str | None) -> bytes:
    """The record's bytes; a value that is not Base64 was written by a sink that keeps text."""
    if value is None:
        return b""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value.encode()
