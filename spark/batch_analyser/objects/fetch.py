"""Fetch objects and have them turned into rows, inside Spark's tasks.

Many small objects are fetched by threads with boto3, which is twice as fast as Spark's own S3 reader; decoding
and hashing happen in the same pass, so that no byte is parsed twice.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import boto3
import pyarrow as pa
from botocore.config import Config
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from service_kit.retries import RetryPolicy, retry

from batch_analyser.objects.listing import Listed
from batch_analyser.objects.pieces import MIB
from batch_analyser.objects.rows import ARROW_SCHEMA, Fetched, Source, object_rows

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BATCH_ROWS = 10_000
_BATCH_BYTES = 8 * MIB
_IN_FLIGHT_BYTES = 64 * MIB
OBJECT_BYTES: Final = 512 * MIB
"""As stored. A larger object is not read, since a task holds what it reads in memory; the ledger says so."""
_TOO_LARGE: Final = f"an object of more than {OBJECT_BYTES // MIB} MiB is not read; split it"
_READ_ERRORS = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError)


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
            if listed.size > OBJECT_BYTES:
                head = client.head_object(Bucket=bucket, Key=listed.key)
                return Fetched(listed, None, head["ETag"].strip('"'), head["Metadata"], _TOO_LARGE)
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
