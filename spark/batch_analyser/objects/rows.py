"""From one fetched object to rows: its records, what could not be read, and the ledger's row."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pipeline_contracts import objects as metadata
from pipeline_contracts.objects import ObjectName, parse_object_key

from batch_analyser.objects.dead_letters import DeadLetter, decode_dead_letters
from batch_analyser.objects.lines import Record, decode, parse_timestamp
from batch_analyser.objects.listing import Listed
from batch_analyser.objects.pieces import Reject
from batch_analyser.objects.taken import Offsets

RECORD, OBJECT, REJECT, DEAD_LETTER, GONE = "record", "object", "reject", "dead_letter", "gone"

ARROW_SCHEMA = pa.schema(
    [
        ("what", pa.string()),
        ("log_id", pa.string()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("recorded_at", pa.timestamp("us", "UTC")),
        ("key", pa.string()),
        ("value", pa.string()),
        ("content_hash", pa.string()),
        ("reason", pa.string()),
        ("raw_base64", pa.string()),
        ("line", pa.int64()),
        ("raw_bytes", pa.int64()),
        ("raw_sha256", pa.string()),
        ("object_key", pa.string()),
        ("etag", pa.string()),
        ("next_offset", pa.int64()),
        ("records", pa.int64()),
        ("problem", pa.string()),
        ("ranges", pa.list_(pa.struct([("first", pa.int64()), ("next", pa.int64())]))),
    ]
)
DDL = (
    "what string, log_id string, topic string, partition int, offset bigint, recorded_at timestamp, key string, "
    "value string, content_hash string, reason string, raw_base64 string, line bigint, raw_bytes bigint, "
    "raw_sha256 string, object_key string, etag string, next_offset bigint, records bigint, problem string, "
    "ranges array<struct<first: bigint, next: bigint>>"
)

_SHOWN_PROBLEMS: Final = 3


@dataclass(frozen=True)
class Source:
    """Where raw objects are, for a worker process that builds its own client."""

    endpoint_url: str | None
    region: str
    bucket: str
    dead_letter_topic: str
    threads: int


class Fetched(NamedTuple):
    """One object. ``body`` is None when ``problem`` says why it is not read, or it was gone since the listing."""

    listed: Listed
    body: bytes | None
    etag: str
    metadata: Mapping[str, str]
    problem: str | None = None


class _Problems:
    """What is wrong with an object: the first few, and how many there are."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, problem: str) -> None:
        self._count += 1
        if len(self._first) < _SHOWN_PROBLEMS:
            self._first.append(problem)

    def text(self) -> str | None:
        more = self._count - len(self._first)
        return "; ".join([*self._first, *([f"and {more} more"] if more else [])]) or None


def object_rows(fetched: Fetched, source: Source) -> Iterator[dict[str, Any]]:
    """All rows of one object; columns left out are null."""
    key = fetched.listed.key
    name = parse_object_key(key)
    place = _place(name, fetched, source.bucket)
    if fetched.problem is not None:
        yield from _unread_rows(fetched, place, name, fetched.problem)
        return
    if fetched.body is None:
        yield {"what": GONE, "object_key": key, "etag": fetched.etag}
        return
    if place["topic"] == source.dead_letter_topic:
        yield from _letter_rows(fetched, place)
        return
    offsets, problems = Offsets(), _Problems()
    for item in decode(fetched.body, 0 if name is None else name.start_offset, offsets):
        if isinstance(item, Record):
            yield {
                "what": RECORD,
                **place,
                "offset": item.offset,
                "recorded_at": parse_timestamp(item.timestamp) or fetched.listed.modified,
                "key": item.key,
                "value": item.value,
                "content_hash": item.content_hash,
                "object_key": key,
            }
        else:
            problems.add(f"line {item.row + 1}: {item.problem}")
            yield _reject_row(item, place, fetched)
    yield _object_row(fetched, place, name, offsets, problems)


def _unread_rows(
    fetched: Fetched, place: Mapping[str, Any], name: ObjectName | None, problem: str
) -> Iterator[dict[str, Any]]:
    """A reject without bytes, and the ledger's row: the bytes stay in the bucket."""
    problems = _Problems()
    problems.add(problem)
    whole = Reject(0, None, b"", problem, fetched.listed.size, None)
    yield _reject_row(whole, place, fetched)
    yield _object_row(fetched, place, name, Offsets(), problems)


def _letter_rows(fetched: Fetched, place: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    offsets, problems = Offsets(), _Problems()
    for item in decode_dead_letters(fetched.body or b""):
        if isinstance(item, DeadLetter):
            if not offsets.full:
                offsets.add(item.own_offset)
            yield _dead_letter_row(item, place, fetched)
        else:
            problems.add(f"line {item.row + 1}: {item.problem}")
            yield _reject_row(item, place, fetched)
    yield _object_row(fetched, place, parse_object_key(fetched.listed.key), offsets, problems)


def _dead_letter_row(item: DeadLetter, place: Mapping[str, Any], fetched: Fetched) -> dict[str, Any]:
    origin = place
    if item.topic is not None:
        origin = {
            "log_id": item.log_id or f"topic:{item.topic}",
            "topic": item.topic,
            "partition": item.partition,
        }
    return {
        "what": DEAD_LETTER,
        **origin,
        "offset": item.offset,
        "recorded_at": parse_timestamp(item.timestamp),
        "reason": item.reason,
        "object_key": fetched.listed.key,
        **_raw(item.raw),
    }


def _reject_row(item: Reject, place: Mapping[str, Any], fetched: Fetched) -> dict[str, Any]:
    return {
        "what": REJECT,
        **place,
        "offset": item.offset,
        "recorded_at": fetched.listed.modified,
        "reason": "not_json",
        "object_key": fetched.listed.key,
        "line": item.row + 1,
        "raw_bytes": item.size,
        "raw_sha256": item.sha256,
        **_raw(item.raw),
    }


def _object_row(
    fetched: Fetched,
    place: Mapping[str, Any],
    name: ObjectName | None,
    offsets: Offsets,
    problems: _Problems,
) -> dict[str, Any]:
    """The ledger's row. Its range is what our sink wrote into the metadata, else what was read."""
    start = 0 if name is None else name.start_offset
    told = {name: metadata.integer(text, metadata.MAX_OFFSET) for name, text in fetched.metadata.items()}
    ranges = offsets.ranges()
    first = _or(told.get(metadata.FIRST_OFFSET), ranges[0]["first"] if ranges else start)
    beyond = _or(told.get(metadata.NEXT_OFFSET), ranges[-1]["next"] if ranges else first)
    return {
        "what": OBJECT,
        **place,
        "offset": first,
        "next_offset": beyond,
        "records": offsets.count,
        "problem": problems.text(),
        "ranges": ranges,
        "object_key": fetched.listed.key,
        "etag": fetched.etag,
    }


def _place(name: ObjectName | None, fetched: Fetched, bucket: str) -> dict[str, Any]:
    """The log: the id our sink wrote down, else the topic's name, else the object itself."""
    key = fetched.listed.key
    if name is None:
        topic = key.split("/")[1] if key.count("/") > 1 else ""
        return {"log_id": f"s3://{bucket}/{key}", "topic": topic, "partition": 0}
    log_id = fetched.metadata.get(metadata.LOG_ID) or name.log_id or f"topic:{name.topic}"
    return {"log_id": log_id, "topic": name.topic, "partition": name.partition}


def _raw(raw: bytes) -> dict[str, str | None]:
    encoded = base64.b64encode(raw).decode()
    try:
        return {"value": raw.decode(), "raw_base64": encoded}
    except UnicodeDecodeError:
        return {"value": None, "raw_base64": encoded}


def _or(number: int | None, default: int) -> int:
    return default if number is None else number
