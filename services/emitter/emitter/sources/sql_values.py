"""Values of a database's columns as JSON on the wire."""

import datetime
import math
import re
import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

_NEEDS_ESCAPE: Final = re.compile(rb'["\\\x00-\x1f]')
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


class _BadText(bytes):
    """A text's bytes, which are not UTF-8."""


def as_json(names: Sequence[str], row: Sequence[object]) -> bytes:
    """A row as a JSON object, its columns in their order."""
    return _encoder.encode(dict(zip(names, map(_plain, row), strict=True)))


def keep_bad_text(connection: sqlite3.Connection, _record: object) -> None:
    """Text that is not UTF-8 comes as its bytes, not as an error that ends the whole run."""

    def decoded(value: bytes) -> object:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return _BadText(value)

    connection.text_factory = decoded


def _plain(value: object) -> object:
    """A column's value as it travels."""
    match value:
        case datetime.datetime():
            return _date_time(value)
        case datetime.date():
            return f"{value.isoformat()} 00:00:00"
        case _BadText():
            # Not UTF-8 on the wire either, so that the row is rejected with these bytes.
            escaped = _NEEDS_ESCAPE.sub(lambda found: b"\\u%04x" % found[0][0], value)
            return msgspec.Raw(b'"' + escaped + b'"')
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no such number, and null would be another value
        case bytes():
            return value.decode(errors="backslashreplace")
        case _:
            return value


def _date_time(value: datetime.datetime) -> str:
    try:
        utc = value.astimezone(datetime.UTC) if value.tzinfo is not None else value
    except OverflowError:  # within a day of the first or last date there is
        return value.isoformat(sep=" ")
    return utc.replace(tzinfo=None).isoformat(sep=" ")
