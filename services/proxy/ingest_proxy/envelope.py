"""From a request's body to records, without making Python objects of their values.

The value bytes are the value's JSON as sent, in the sender's key order; only line breaks between tokens
are taken out (inside a string JSON has none), so that a record is one line.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from ingest_proxy.errors import (
    BadRequestError,
    InvalidEnvelopeError,
    KeySchemaMissingError,
    ValueSchemaMissingError,
)
from ingest_proxy.outline import has_more_records, repeated_field

_NULL: Final = b"null"
_ABSENT: Final = msgspec.Raw(_NULL)
_CHECK_BYTES = 65_536
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`(?: - at `[^`]*`)?", re.DOTALL)


class Record(NamedTuple):
    """What goes to Kafka. No value is a tombstone; no partition leaves the choice to the key."""

    key: bytes | None
    value: bytes | None
    partition: int | None = None


class _Schemas(msgspec.Struct, forbid_unknown_fields=True):
    # Fields of the formats with schemas. The reference allows them, and ignores them, in the others.
    key_schema: str | None = None
    key_schema_id: int | float | None = None
    value_schema: str | None = None
    value_schema_id: int | float | None = None


class _RawRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    key: msgspec.Raw = _ABSENT
    value: msgspec.Raw = _ABSENT
    partition: int | float | None = None


class _RawEnvelope(_Schemas, forbid_unknown_fields=True, kw_only=True):
    records: list[_RawRecord]


_decode_envelope = msgspec.json.Decoder(_RawEnvelope).decode
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode
_decode_text = msgspec.json.Decoder(str).decode


def parse(body: bytes, embedded: Literal["json", "binary"], max_records: int) -> list[Record]:
    """The records of a produce request, in its order.

    Raises:
        BadRequestError: not UTF-8 or not JSON.
        InvalidEnvelopeError: JSON that is no produce request.
    """
    envelope = _envelope(body, max_records)
    if embedded == "binary":
        return _binary_records(envelope.records)
    if b"\n" in body or b"\r" in body:
        return [
            Record(_json_key(_line(raw.key)), _tombstone(_line(raw.value)), _whole(raw.partition))
            for raw in envelope.records
        ]
    return [
        Record(_json_key(bytes(raw.key)), _tombstone(bytes(raw.value)), _whole(raw.partition))
        for raw in envelope.records
    ]


def refuse_without_schema(body: bytes, max_records: int) -> None:
    """Judge a request in a format with schemas as the reference does; returns where it has the schemas it needs.

    Raises:
        BadRequestError, InvalidEnvelopeError: as ``parse``.
        KeySchemaMissingError, ValueSchemaMissingError: it has keys or values, and no schema for them.
    """
    envelope = _envelope(body, max_records)
    if envelope.key_schema is None and envelope.key_schema_id is None and _any(raw.key for raw in envelope.records):
        raise KeySchemaMissingError("Keys in this format need key_schema or key_schema_id")
    without_schema = envelope.value_schema is None and envelope.value_schema_id is None
    if without_schema and _any(raw.value for raw in envelope.records):
        raise ValueSchemaMissingError("Values in this format need value_schema or value_schema_id")


def _envelope(body: bytes, max_records: int) -> _RawEnvelope:
    _check_utf8(body)
    if has_more_records(body, max_records):
        raise InvalidEnvelopeError(f"More than {max_records} records in one request; at most {max_records} are taken")
    if (twice := repeated_field(body)) is not None:
        _check_json(body)
        raise InvalidEnvelopeError(f"The field {twice} occurs twice in the request; send it once")
    try:
        envelope = _decode_envelope(body)
    except msgspec.ValidationError as error:
        # It stops at the first field it does not like; what follows may still be no JSON.
        _check_json(body)
        raise InvalidEnvelopeError(_reason(str(error))) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON that can be read: {error}") from error
    if not envelope.records:
        raise InvalidEnvelopeError("records may not be empty")
    return envelope


def _check_utf8(body: bytes) -> None:
    # msgspec skips over the strings inside raw values. In pieces, so that no second copy of the body is made.
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(body)
    try:
        for start in range(0, len(body), _CHECK_BYTES):
            decoder.decode(view[start : start + _CHECK_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise BadRequestError("The body is not UTF-8") from error


def _check_json(body: bytes) -> None:
    try:
        _decode_any(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON that can be read: {error}") from error


def _reason(message: str) -> str:
    """The reference's words for an unknown field, the decoder's own (what, where) for all else."""
    unknown = _UNKNOWN_FIELD.fullmatch(message)
    return f"Unrecognized field: {unknown[1]}" if unknown else message


def _line(raw: msgspec.Raw) -> bytes:
    return bytes(raw).translate(None, b"\r\n")


def _tombstone(value: bytes) -> bytes | None:
    return None if value == _NULL else value


def _json_key(key: bytes) -> bytes | None:
    """A text's own characters, any other value's JSON: ``"9455"`` and ``9455`` are one key."""
    if key.startswith(b'"'):
        return _decode_text(key).encode()
    return _tombstone(key)


def _whole(partition: float | None) -> int | None:
    """JSON knows one kind of number: ``2.0`` is partition 2."""
    if partition is None or isinstance(partition, int):
        return partition
    if not partition.is_integer():
        raise InvalidEnvelopeError(f"Expected a whole number, got {partition} - at `partition` of a record")
    return int(partition)


def _binary_records(raw_records: list[_RawRecord]) -> list[Record]:
    records = []
    for index, raw in enumerate(raw_records):
        try:
            records.append(Record(_base64(bytes(raw.key)), _base64(bytes(raw.value)), _whole(raw.partition)))
        except (msgspec.ValidationError, binascii.Error, ValueError) as error:
            msg = f"key and value must be Base64 texts or null in the binary format - at `$.records[{index}]`"
            raise InvalidEnvelopeError(msg) from error
    return records


def _base64(value: bytes) -> bytes | None:
    return None if value == _NULL else base64.b64decode(_decode_text(value), validate=True)


def _any(values: Iterable[msgspec.Raw]) -> bool:
    return any(bytes(value) != _NULL for value in values)
