"""Fetch objects and turn them into rows, inside Spark's tasks.

Many small objects are fetched by threads with boto3, which is twice as fast as Spark's own S3 reader; decoding
and hashing happen in the same pass, so that no byte is parsed twice.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pyarrow as pa
from botocore.config import Config
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from pipeline_contracts import objects as metadata
from pipeline_contracts.objects import ObjectName, parse_object_key
from service_kit.retries import RetryPolicy, retry

from batch_analyser.dead_letters import DeadLetter, decode_dead_letters
from batch_analyser.lines import Record, Reject, decode, parse_timestamp
from batch_analyser.listing import Listed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

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
    "value string, content_hash string, reason string, raw_base64 string, object_key string, etag string, "
    "next_offset bigint, records bigint, problem string, ranges array<struct<first: bigint, next: bigint>>"
)

_BATCH_ROWS = 10_000
_BATCH_BYTES = 8 * 1024 * 1024
_IN_FLIGHT_BYTES = 64 * 1024 * 1024
_READ_ERRORS = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError)


@dataclass(frozen=True)
class Source:
    """Where raw objects are, for a worker process that builds its own client."""

    endpoint_url: str | None
    region: str
    bucket: str
    dead_letter_topic: str
    threads: int


class Fetched(NamedTuple):
    """One object. ``body`` is None when it was gone between listing and reading."""

    listed: Listed
    body: bytes | None
    etag: str
    metadata: Mapping[str, str]


def s3_client(endpoint_url: str | None, region: str, connections: int) -> "S3Client":
    """A client that tries 5 times and gives up a silent connection after 30 s."""
    config = Config(
        max_pool_connections=connections,
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "max_attempts": 5},
        s3={"addressing_style": "path"} if endpoint_url else {},
    )
    return boto3.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)


def task_body(
    source: Source, tasks: list[list[Listed]]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for ``mapInArrow``: each input row is the number of one run of objects in ``tasks``."""

    def fetch_and_decode(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        client = _client(source)
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from to_batches(_fetch_all(client, source, tasks[number]), source)

    return fetch_and_decode


def fetch_here(source: Source, objects: list[Listed], most_bytes: int) -> pa.Table | None:
    """What ``task_body`` gives, in this process; None, with some of it read in vain, where that takes more memory."""
    batches, size = [], 0
    for batch in to_batches(_fetch_all(_client(source), source, objects), source):
        size += batch.nbytes
        if size > most_bytes:
            return None
        batches.append(batch)
    return pa.Table.from_batches(batches, ARROW_SCHEMA)


def to_batches(objects: Iterator[Fetched], source: Source) -> Iterator[pa.RecordBatch]:
    """Rows of ``ARROW_SCHEMA`` in batches of some megabytes; an object's own row follows its records."""
    rows: list[dict[str, Any]] = []
    size = 0
    for fetched in objects:
        for row in object_rows(fetched, source):
            rows.append(row)
            size += len(row.get("value") or "") + len(row.get("raw_base64") or "")
            if len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield _batch(rows)
                rows, size = [], 0
    if rows:
        yield _batch(rows)


def object_rows(fetched: Fetched, source: Source) -> Iterator[dict[str, Any]]:
    """All rows of one object; columns left out are null."""
    key = fetched.listed.key
    if fetched.body is None:
        yield {"what": GONE, "object_key": key, "etag": fetched.etag}
        return
    name = parse_object_key(key)
    place = _place(name, fetched, source.bucket)
    if name is not None and name.topic == source.dead_letter_topic:
        yield from _letter_rows(fetched, place)
        return
    offsets: list[int] = []
    problems: list[str] = []
    for item in decode(fetched.body, 0 if name is None else name.start_offset):
        if isinstance(item, Record):
            offsets.append(item.offset)
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
            problems.append(f"line {item.row + 1}: {item.problem}")
            yield _reject_row(item, place, fetched)
    yield _object_row(fetched, place, name, offsets, problems)


def _letter_rows(fetched: Fetched, place: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    offsets: list[int] = []
    problems: list[str] = []
    for item in decode_dead_letters(fetched.body or b""):
        if isinstance(item, DeadLetter):
            offsets.append(item.own_offset)
            yield _dead_letter_row(item, place, fetched)
        else:
            problems.append(f"line {item.row + 1}: {item.problem}")
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
        **_raw(item.raw),
    }


def _object_row(
    fetched: Fetched,
    place: Mapping[str, Any],
    name: ObjectName | None,
    offsets: list[int],
    problems: list[str],
) -> dict[str, Any]:
    """The ledger's row. Its range is what our sink wrote into the metadata, else what was read."""
    start = 0 if name is None else name.start_offset
    told = {name: metadata.integer(text, metadata.MAX_OFFSET) for name, text in fetched.metadata.items()}
    first = _or(told.get(metadata.FIRST_OFFSET), min(offsets, default=start))
    beyond = _or(told.get(metadata.NEXT_OFFSET), max(offsets, default=first - 1) + 1)
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    return {
        "what": OBJECT,
        **place,
        "offset": first,
        "next_offset": beyond,
        "records": len(offsets),
        "problem": shown or None,
        "ranges": to_ranges(offsets),
        "object_key": fetched.listed.key,
        "etag": fetched.etag,
    }


def to_ranges(offsets: list[int]) -> list[dict[str, int]]:
    """Runs of consecutive offsets, so that what an object held can be counted exactly ever after."""
    ranges: list[dict[str, int]] = []
    for offset in sorted(offsets):
        if ranges and ranges[-1]["next"] == offset:
            ranges[-1]["next"] = offset + 1
        else:
            ranges.append({"first": offset, "next": offset + 1})
    return ranges


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


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows of one sort have the same columns; most batches hold records alone, which leave half of them out."""
    used = set().union(*{row["what"]: row.keys() for row in rows}.values())
    columns = [
        pa.array([row.get(name) for row in rows], kind) if name in used else pa.nulls(len(rows), kind)
        for name, kind in zip(ARROW_SCHEMA.names, ARROW_SCHEMA.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ARROW_SCHEMA)


@lru_cache(maxsize=1)
def _client(source: Source) -> "S3Client":
    """Worker processes live on between tasks; so does their client."""
    return s3_client(source.endpoint_url, source.region, source.threads)


def _fetch_all(client: "S3Client", source: Source, objects: list[Listed]) -> Iterator[Fetched]:
    """In order. Threads run ahead of the decoder by two objects each and some megabytes, no further."""
    waiting: list[tuple[Future[Fetched], int]] = []
    in_flight = 0
    with ThreadPoolExecutor(source.threads, thread_name_prefix="fetch") as pool:
        for listed in objects:
            while waiting and (len(waiting) >= 2 * source.threads or in_flight + listed.size > _IN_FLIGHT_BYTES):
                future, size = waiting.pop(0)
                yield future.result()
                in_flight -= size
            waiting.append((pool.submit(_fetch, client, source.bucket, listed), listed.size))
            in_flight += listed.size
        for future, _ in waiting:
            yield future.result()


def _fetch(client: "S3Client", bucket: str, listed: Listed) -> Fetched:
    def read() -> Fetched:
        try:
            answer = client.get_object(Bucket=bucket, Key=listed.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return Fetched(listed, None, listed.etag, {})
            raise
        modified: datetime = answer["LastModified"]
        return Fetched(
            listed._replace(modified=modified), answer["Body"].read(), answer["ETag"].strip('"'), answer["Metadata"]
        )

    return retry(read, RetryPolicy(deadline_s=30), _READ_ERRORS)
