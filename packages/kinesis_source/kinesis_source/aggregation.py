"""Records of the Kinesis Producer Library (KPL), which hold several records of its user.

The format: https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md (a magic number, one
protobuf message, its MD5). All else in it is as Amazon's own reader (KCL) takes it: what is not whole is one ordinary
record. KCL leaves out sub-records whose hash key lies outside of the shard, which KPL sends again; other producers do
not, so that all of them are given here.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
MAX_KEY_CHARACTERS = 256
"""Kinesis' limit for a partition key."""
MAX_ROW_BYTES = 16 << 20
"""Keys may be shared, and a sub-record may be empty: so that few bytes do not become many, larger ones stay whole."""
_ROW_COST = 128
"""What a row takes beside its key and its data: stream, shard, sequence number."""

_PARTITION_KEYS, _RECORDS = 1, 3
_KEY_INDEX, _DATA = 1, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class SubRecord:
    """One record of the user; ``key`` is UTF-8 where the producer kept to the format."""

    key: bytes
    data: bytes


class _MalformedError(Exception):
    """Not an aggregate."""


def sub_records(data: bytes) -> Sequence[SubRecord] | None:
    """The records in an aggregate, in their order, at least one; None: it is an ordinary record.

    Ordinary is, too, what begins like an aggregate and is not whole: a wrong checksum, a message cut or without a
    record, a key that is not there or too long; and one that would take over ``MAX_ROW_BYTES`` as rows.
    """
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + _DIGEST_BYTES:
        return None
    message, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.md5(message, usedforsecurity=False).digest() != digest:
        return None
    try:
        return _parse(message) or None
    except _MalformedError:
        return None


def aggregate(records: Sequence[SubRecord]) -> bytes:
    """The inverse of ``sub_records``; for tests and tools. Keys are not shared."""
    message = b"".join(_field(_PARTITION_KEYS, record.key) for record in records)
    for number, record in enumerate(records):
        message += _field(_RECORDS, _varint(_KEY_INDEX << 3 | _VARINT) + _varint(number) + _field(_DATA, record.data))
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def _parse(message: bytes) -> list[SubRecord]:
    keys: list[bytes] = []
    places: list[tuple[int, bytes]] = []
    for number, value in _fields(message):
        if number == _PARTITION_KEYS and isinstance(value, bytes):
            if len(value.decode("utf-8", "surrogateescape")) > MAX_KEY_CHARACTERS:
                raise _MalformedError
            keys.append(value)
        elif number == _RECORDS and isinstance(value, bytes):
            places.append(_record(value))
    found, size = [], 0
    for index, data in places:
        if index >= len(keys):
            raise _MalformedError
        size += len(keys[index]) + len(data) + _ROW_COST
        if size > MAX_ROW_BYTES:
            raise _MalformedError
        found.append(SubRecord(keys[index], data))
    return found


def _record(message: bytes) -> tuple[int, bytes]:
    index: int | None = None
    data: bytes | None = None
    for number, value in _fields(message):
        if number == _KEY_INDEX and isinstance(value, int):
            index = value
        elif number == _DATA and isinstance(value, bytes):
            data = value
    if index is None or data is None:
        raise _MalformedError
    return index, data


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: number and value, for numbers of fixed width their bytes."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise _MalformedError
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _MalformedError
        if at + size > len(message):
            raise _MalformedError
        yield number, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _MalformedError


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
