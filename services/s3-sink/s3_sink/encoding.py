"""Records to lines of an object, and what cannot become one.

A value goes into the line as the bytes that were stored: checked, but not parsed into objects and written again.
"""

import base64
import gzip
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from pipeline_contracts import dead_letters

from s3_sink.connector import Format
from s3_sink.coverage import Range
from s3_sink.ports import DeadLetter, Header, HeadersError, Record, TopicPartition

# On the real sample, level 4 takes 0.6 of the time of the connector's level 6 and gives objects 4 % larger.
GZIP_LEVEL = 4
_MESSAGE_CHARS = 1_000

_skip_json = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode
# Outside of its strings, where none can stand raw, a JSON text may hold line breaks: they mean what a space means.
# A line nests its value once more, and its readers do so again: what only just passes here must pass there, too.
_DEEPER, _SHALLOWER = b"[" * 64, b"]" * 64
_DEEP: Final = 4_096
"""With fewer brackets a value cannot be nested so deeply that a parser gives up (some 10,000 levels)."""
_NO_LINE_BREAKS: Final = bytes.maketrans(b"\n\r", b"  ")


class PoisonError(ValueError):
    """A record that cannot become a line. ``stage`` is Kafka Connect's word for what failed."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


def encode_line(record: Record, output: Format) -> bytes:
    """One line with its line break at the end, fields in the order of the Java connector.

    Raises:
        PoisonError: only for ``json``: the value is not JSON in UTF-8, or the key is not UTF-8.
    """
    if output == "bytes":
        return _encode(_bytes_line(record)) + b"\n"
    value = b"null" if record.value is None else _checked(record.value)
    return b'{"offset":%d,"value":%b,"key":%b,"timestamp":%b}\n' % (
        record.offset,
        value,
        b"null" if record.key is None else _text(record.key),
        _timestamp(record.timestamp_ms),
    )


def compress(lines: Iterable[bytes]) -> bytes:
    """The object's body: equal lines give equal bytes. Blocks the calling thread only."""
    return gzip.compress(b"".join(lines), GZIP_LEVEL, mtime=0)


@lru_cache(maxsize=4_096)
def timestamp(milliseconds: int) -> str | None:
    """``2026-11-23T13:22:19.499Z``; whole seconds have no fraction, as the connector writes them.

    None outside of the years 1 to 9999, which no reader's calendar holds: only a sender's own clock says such things.
    """
    try:
        moment = datetime.fromtimestamp(milliseconds // 1_000, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None
    fraction = milliseconds % 1_000
    return f"{moment.isoformat()}.{fraction:03d}Z" if fraction else f"{moment.isoformat()}Z"


def dead_letter(record: Record, problem: PoisonError, connector: str, log_id: str) -> DeadLetter:
    """The record as it is, with its origin and the reason in headers behind those it had."""
    origin = _origin(record.place, record.offset, problem, connector, log_id)
    return DeadLetter(record.key, record.value, _readable_headers(record), origin)


def batch_letter(place: TopicPartition, covered: Range, reason: str, connector: str, log_id: str) -> DeadLetter:
    """One letter for a batch that cannot be read. Nobody has its bytes, so its value says which offsets and why."""
    last = str(covered.end - 1)
    problem = PoisonError("CONSUME", f"offsets {covered.first} to {last} cannot be read: {reason}")
    origin = _origin(place, covered.first, problem, connector, log_id)
    return DeadLetter(None, str(problem).encode(), (), (*origin, Header(dead_letters.LAST_OFFSET, last.encode())))


def _origin(
    place: TopicPartition, offset: int, problem: PoisonError, connector: str, log_id: str
) -> tuple[Header, ...]:
    origin = {
        dead_letters.TOPIC: place.topic,
        dead_letters.PARTITION: str(place.partition),
        dead_letters.OFFSET: str(offset),
        dead_letters.CONNECTOR: connector,
        dead_letters.STAGE: problem.stage,
        dead_letters.MESSAGE: str(problem)[:_MESSAGE_CHARS],
        dead_letters.LOG_ID: log_id,
    }
    return tuple(Header(key, value.encode()) for key, value in origin.items())


def cut_letter(letter: DeadLetter, most_bytes: int) -> DeadLetter:
    """A letter with so many bytes of its value, its key and its own headers at most.

    What is cut is named in headers of ours, with its full length and the BLAKE2b-128 of all of it.
    """
    cuts: list[Header] = []

    def cut(name: str, data: bytes | None) -> bytes | None:
        if data is None or len(data) <= most_bytes:
            return data
        digest = hashlib.blake2b(data, digest_size=dead_letters.HASH_BYTES).hexdigest()
        cuts.append(Header(f"{dead_letters.CUT}{name}", f"{len(data)} bytes, blake2b {digest}".encode()))
        return data[:most_bytes]

    headers = letter.headers
    as_bytes = b"".join(b"%b\0%b\0" % (one.key.encode(), one.value or b"") for one in headers)
    key, value = cut("key", letter.key), cut("value", letter.value)
    if cut("headers", as_bytes) != as_bytes:
        headers = ()
    return DeadLetter(key, value, headers, (*letter.origin, *cuts))


def _checked(value: bytes) -> bytes:
    try:
        # Two checks that see every byte and build nothing: the grammar, then the encoding (the first one does not
        # look into strings).
        _skip_json(value)
        if value.count(b"[") + value.count(b"{") > _DEEP:
            _skip_json(b"%b%b%b" % (_DEEPER, value, _SHALLOWER))
        str(value, "utf-8")
    except msgspec.MsgspecError as error:
        raise PoisonError(
            "VALUE_CONVERTER", f"the value is not JSON: {error}" if value else "the value is empty"
        ) from None
    except UnicodeDecodeError as error:
        raise PoisonError("VALUE_CONVERTER", f"the value is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise PoisonError("VALUE_CONVERTER", "the value is nested too deeply") from None
    return value.translate(_NO_LINE_BREAKS) if b"\n" in value or b"\r" in value else value


def _timestamp(milliseconds: int | None) -> bytes:
    text = None if milliseconds is None else timestamp(milliseconds)
    return b"null" if text is None else b'"%b"' % text.encode()


def _text(key: bytes) -> bytes:
    if key.isdigit():  # ASCII digits only: what the emitter sends
        return b'"%b"' % key
    try:
        return _encode(key.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PoisonError("KEY_CONVERTER", f"the key is not UTF-8: {error.reason} at byte {error.start}") from None


def _bytes_line(record: Record) -> dict[str, object]:
    return {
        "headers": _headers(_readable_headers(record)),
        "offset": record.offset,
        "value": _base64(record.value),
        "key": _base64(record.key),
        "timestamp": None if record.timestamp_ms is None else timestamp(record.timestamp_ms),
    }


def _readable_headers(record: Record) -> tuple[Header, ...]:
    """A record's headers; one of ours, with the reason, where they cannot be read."""
    try:
        return record.read_headers()
    except HeadersError as error:
        return (Header(dead_letters.UNREADABLE_HEADERS, str(error)[:_MESSAGE_CHARS].encode()),)


def _headers(headers: Sequence[Header]) -> list[dict[str, str | None]]:
    # A header that is no text was none of ours; Connect's StringConverter replaces such bytes too.
    return [
        {"key": one.key, "value": None if one.value is None else one.value.decode("utf-8", "replace")}
        for one in headers
    ]


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")
