"""From a source's row to a record that can be sent, or to the reason why it cannot."""

from typing import Literal

import msgspec
from pipeline_contracts.content import content_hash
from pipeline_contracts.events import KEY_FIELDS, MAX_KEY, MAX_RECORD_BYTES, record_key
from pipeline_contracts.names import Kind

PathName = Literal["batch", "stream"]

_decoder = msgspec.json.Decoder()


class Row(msgspec.Struct, frozen=True):
    """What a source yields. ``kind`` names the topic it is posted to, right or wrong.

    ``position`` is where it stands in its kind's part of the source, as that source writes positions.
    """

    kind: Kind
    value: bytes
    position: str


class Event(msgspec.Struct, frozen=True):
    """A row with what the ledger needs to know of it."""

    row: Row
    key: str
    content_hash: str


class Rejection(msgspec.Struct, frozen=True):
    """A row that is not sent, and why."""

    row: Row
    reason: str


class Record(msgspec.Struct, frozen=True):
    """One event on its way down one path; ``id`` is its intent's in the ledger, ``name`` a topic or stream."""

    id: int
    name: str
    key: str
    content_hash: str
    value: bytes


def examine(row: Row) -> Event | Rejection:
    """Tell a row that can be sent from one that cannot. The value's bytes are never changed."""
    if len(row.value) > MAX_RECORD_BYTES:
        return Rejection(row, f"larger than {MAX_RECORD_BYTES} bytes")
    try:
        # msgspec passes over bad UTF-8 in some places, and the proxy refuses the whole request for it.
        row.value.decode()
        decoded = _decoder.decode(row.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejection(row, f"not JSON: {error}")
    if not isinstance(decoded, dict):
        return Rejection(row, "not a JSON object")
    key = record_key(decoded)
    if key is None:
        return Rejection(row, f"no usable key: {' or '.join(KEY_FIELDS)} must be an integer from 0 to {MAX_KEY}")
    return Event(row, key, content_hash(row.value))
