"""From rows of the stream tables to what ``posts`` keeps of them."""

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
from pipeline_contracts.names import Kind
from pipeline_transforms.answers import age_group
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn

_PLACE: Final = ("ind", "content_hash", "recorded_at", "partition", "offset", "log_id")
_NAMES: Final = {
    "ind": "ind",
    "content_hash": "hash",
    "partition": "shard",
    "offset": "sequence",
    "log_id": "log",
    "poster_name": "poster",
    "follower_count": "followers",
    "category": "category",
    "title": "title",
    "country": "country",
    "age_group": "age_group",
}


def content_columns(kind: Kind) -> list[Column]:
    """What to select of cleaned rows of a kind."""
    own: dict[Kind, list[Column]] = {
        "pin": [fn.col(name) for name in ("poster_name", "follower_count", "category", "title")],
        "geo": [fn.col("country")],
        "user": [age_group(fn.col("age")).alias("age_group")],
    }
    return [*(fn.col(name) for name in _PLACE), *own[kind]]


def content_rows(frame: DataFrame, kind: Kind) -> pa.Table:
    """Those columns of all rows, in this process."""
    return frame.select(*content_columns(kind)).toArrow()


def contents(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Each row as ``Posts.add`` takes it; other columns than those of ``content_columns`` are passed over."""
    names = [name for name in rows.column_names if name in _NAMES]
    columns = [rows[name].to_pylist() for name in names]
    arrived = rows["recorded_at"].cast(pa.int64()).to_pylist()
    for micros, *values in zip(arrived, *columns, strict=True):
        content = dict(zip((_NAMES[name] for name in names), values, strict=True))
        yield {**content, "arrived_us": micros, "digits": len(content["sequence"])}
