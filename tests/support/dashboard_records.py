"""Small lakes with records of every fate, written by delta-rs: what the dashboard's Records page reads."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC: Final = "pinterest.geo"
STREAM: Final = "streaming-pinterest-geo"
LOG: Final = "L/+=' log"
ARN: Final = "arn:aws:kinesis:us-east-1:000000000000:stream/streaming-pinterest-geo@1764000000000"
SHARDS: Final = ("shardId-000000000000", "shardId-000000000001")
_AT: Final = pa.timestamp("us", "UTC")
_GEO: Final = [("ind", pa.int32()), ("country", pa.string())]
_BATCH: Final = [
    ("log_id", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("recorded_at", _AT),
    ("content_hash", pa.string()),
]  # fmt: skip
_STREAM: Final = [(name, pa.string() if name in {"partition", "offset"} else kind) for name, kind in _BATCH]
_EVENTS: Final = pa.schema(
    [*_BATCH, ("topic", pa.string()), ("key", pa.string()), ("value", pa.string()), ("object_key", pa.string()),
     ("ingested_at", _AT), ("ingest_batch", pa.int64())]
)  # fmt: skip
_OBJECTS: Final = pa.schema(
    [("object_key", pa.string()), ("etag", pa.string()), ("log_id", pa.string()), ("topic", pa.string()),
     ("partition", pa.int32()), ("first_offset", pa.int64()), ("next_offset", pa.int64()), ("records", pa.int64()),
     ("problem", pa.string()), ("ingested_at", _AT),
     ("ranges", pa.list_(pa.struct([("first", pa.int64()), ("next", pa.int64())])))]
)  # fmt: skip
_HELD: Final = [
    ("source", pa.string()), ("log_id", pa.string()), ("topic", pa.string()), ("partition", pa.int32()),
    ("offset", pa.int64()), ("recorded_at", _AT), ("reason", pa.string()), ("value", pa.string()),
    ("raw_base64", pa.string()), ("object_key", pa.string()), ("quarantined_at", _AT), ("line", pa.int64()),
    ("raw_bytes", pa.int64()), ("raw_sha256", pa.string()),
]  # fmt: skip
_STREAM_HELD: Final = [
    ("source", pa.string()), ("log_id", pa.string()), ("stream", pa.string()), ("partition", pa.string()),
    ("offset", pa.string()), ("recorded_at", _AT), ("reason", pa.string()), ("value", pa.string()),
    ("raw_base64", pa.string()), ("quarantined_at", _AT),
]  # fmt: skip
_ROW: Final = pa.struct([*_GEO, *_BATCH])
_SILVER: Final = pa.schema([*_GEO, *_BATCH, ("superseded", pa.list_(_ROW))])
_RUNS: Final = pa.schema(
    [("run_id", pa.string()), ("started_at", _AT), ("finished_at", _AT),
     ("policies", pa.map_(pa.string(), pa.string())),
     ("versions", pa.map_(pa.string(), pa.int64())), ("records", pa.map_(pa.string(), pa.int64()))]
)  # fmt: skip


def second(number: float) -> datetime:
    """A moment after ``NOW``."""
    return NOW + timedelta(seconds=number)


class RecordsLake:
    """A lake of the kind geo. Records are dictionaries with the columns that matter; the others have defaults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def events(self, *rows: Mapping[str, Any]) -> None:
        """Bronze takes these records in."""
        defaults = {
            "log_id": LOG, "topic": TOPIC, "partition": 0, "key": None, "value": "{}", "object_key": "o",
            "ingested_at": second(100), "ingest_batch": 1,
        }  # fmt: skip
        self._write("bronze/events", _EVENTS, [defaults | _timed(row) for row in rows], partition_by=["topic"])

    def objects(self, *rows: Mapping[str, Any]) -> None:
        """Objects that were read."""
        defaults = {
            "etag": "e", "log_id": LOG, "topic": TOPIC, "partition": 0, "records": 0, "problem": None,
            "ingested_at": second(100), "ranges": [],
        }  # fmt: skip
        self._write("bronze/objects", _OBJECTS, [{**defaults, **row} for row in rows])

    def quarantine(self, *rows: Mapping[str, Any], older: bool = False) -> None:
        """The batch path's. ``older``: a table of an earlier version."""
        defaults = {
            "source": "record", "log_id": LOG, "topic": TOPIC, "partition": 0, "offset": None, "reason": "bad_date",
            "object_key": "o", "quarantined_at": second(200), "line": None, "raw_bytes": None, "raw_sha256": None,
        }  # fmt: skip
        schema = pa.schema(_HELD[:-3] if older else _HELD)
        self._write("quarantine/batch", schema, [_bytes(defaults | _timed(row)) for row in rows])

    def silver(self, rows: Sequence[Mapping[str, Any]], cleaned_batch: int = 1) -> None:
        """Silver is these current rows, each with ``superseded``; the commit is noted as having come so far."""
        defaults = {"log_id": LOG, "partition": 0, "superseded": []}
        table = [
            defaults | _timed(row) | {"superseded": [defaults | _timed(one) for one in row.get("superseded", [])]}
            for row in rows
        ]
        note = CommitProperties(custom_metadata={"userMetadata": json.dumps({"cleaned_batch": cleaned_batch})})
        self._write("silver/geo", _SILVER, table, mode="overwrite", commit_properties=note)

    def run(self, version: int, finished_at: datetime | None = None) -> None:
        """A complete run that read this version of silver."""
        row = {
            "run_id": f"run{version}", "started_at": NOW, "finished_at": finished_at or second(300), "policies": [],
            "versions": [("silver/geo", version)], "records": [],
        }  # fmt: skip
        self._write("runs", _RUNS, [row])

    def stream(self, *rows: Mapping[str, Any]) -> None:
        """Rows of the stream table."""
        schema = pa.schema([*_GEO, *_STREAM, ("value", pa.string())])
        defaults = {"log_id": ARN, "partition": SHARDS[0], "value": "{}"}
        self._write("stream/pinterest_geo_table", schema, [{**defaults, **row} for row in rows])

    def pins(self, *rows: Mapping[str, Any]) -> None:
        """Rows of the stream table of pins."""
        schema = pa.schema([("ind", pa.int32()), ("poster_name", pa.string()), *_STREAM, ("value", pa.string())])
        defaults = {"log_id": ARN, "partition": SHARDS[0], "value": "{}", "recorded_at": NOW, "content_hash": "p"}
        self._write("stream/pinterest_pin_table", schema, [{**defaults, **row} for row in rows])

    def profiles(self, *rows: Mapping[str, Any]) -> None:
        """Rows of the popularity."""
        cell = pa.struct(
            [("category", pa.string()), ("country", pa.string()), ("age_group", pa.string()), ("posts", pa.int64()),
             ("score", pa.float64())]
        )  # fmt: skip
        post = pa.struct(
            [("ind", pa.int32()), ("title", pa.string()), ("category", pa.string()), ("country", pa.string()),
             ("age_group", pa.string()), ("follower_count", pa.int64()), ("first_arrival", _AT)]
        )  # fmt: skip
        schema = pa.schema(
            [("poster_name", pa.string()), ("as_of", _AT), ("score", pa.float64()), ("posts", pa.int64()),
             ("follower_count", pa.int64()), ("last_post_at", _AT), ("cells", pa.list_(cell)),
             ("recent_posts", pa.list_(post))]
        )  # fmt: skip
        defaults = {
            "as_of": second(50), "score": 1.0, "posts": 1, "follower_count": 10, "last_post_at": NOW, "cells": [],
            "recent_posts": [],
        }  # fmt: skip
        self._write(
            "stream/profile_popularity",
            schema,
            [{**defaults, **row} for row in rows],
        )

    def stream_quarantine(self, *rows: Mapping[str, Any]) -> None:
        """The stream path's."""
        defaults = {
            "source": "record", "log_id": ARN, "stream": STREAM, "partition": SHARDS[0], "reason": "not_json",
            "recorded_at": NOW, "quarantined_at": second(200),
        }  # fmt: skip
        self._write("quarantine/stream", pa.schema(_STREAM_HELD), [_bytes({**defaults, **row}) for row in rows])

    def _write(self, table: str, schema: pa.Schema, rows: Iterable[Mapping[str, Any]], **more: Any) -> None:
        found = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        write_deltalake(self.folder / table, found, **{"mode": "append", **more})


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record is recorded as many seconds after ``NOW`` as its offset, unless it says when."""
    return {"recorded_at": second(row.get("offset") or 0), **row}


def _bytes(row: Mapping[str, Any]) -> dict[str, Any]:
    """``raw`` are the row's bytes: its value, as text where they are, and as Base64."""
    raw: bytes = row.get("raw", b"{}")
    try:
        value: str | None = raw.decode()
    except UnicodeDecodeError:
        value = None
    return {"value": value, "raw_base64": base64.b64encode(raw).decode()} | {k: v for k, v in row.items() if k != "raw"}
