"""Rows of the stream tables, as the file of posts takes them in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pipeline_contracts.names import Kind
from stream_reader.popularity.posts_database import FACTS

AS_OF = datetime(2026, 1, 1, 12, tzinfo=UTC)
Row = dict[str, Any]


def row(ind: int, age_s: float = 0.0, **more: Any) -> Row:
    """One row of any kind. Its content is told by ``more``, its place by its age and ``offset``."""
    place = {name: more.pop(name, default) for name, default in (("offset", ind), ("shard", "s"))}
    return {
        "ind": ind,
        "log_id": "log",
        "partition": place["shard"],
        "offset": str(place["offset"]),
        "recorded_at": AS_OF - timedelta(seconds=age_s),
        "content_hash": str(sorted((name, repr(value)) for name, value in more.items())),
        **more,
    }


def table(kind: Kind, rows: Sequence[Row]) -> pa.Table:
    types = {
        "ind": pa.int32(),
        "recorded_at": pa.timestamp("us", "UTC"),
        "follower_count": pa.int64(),
        "age": pa.int32(),
    }
    names = ("ind", "log_id", "partition", "offset", "recorded_at", "content_hash", *FACTS[kind])
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    return pa.Table.from_pylist(list(rows), schema)


def pin(ind: int, poster: str | None, followers: int | None, age_s: float, **more: Any) -> Row:
    return row(ind, age_s, poster_name=poster, follower_count=followers, title=f"title {ind}", **more)
