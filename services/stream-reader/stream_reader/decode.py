"""From Kinesis' columns to cleaned rows, by Spark; and from those, collected, to the rows of the tables."""

from base64 import b64encode
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pipeline_contracts.content import content_hash
from pipeline_contracts.names import Kind
from pipeline_transforms.cleaning import clean
from pipeline_transforms.schemas import CLEANED
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from stream_reader.tables import COORDINATE, STORED


def read_rows(frame: DataFrame, kind: Kind, log_id: str) -> DataFrame:
    """Decode and clean what ``format("kinesis")`` gives.

    Each record has its coordinate, cleaned columns, ``reason`` (null: a good row), ``stream``, ``value`` (null where
    the bytes are not UTF-8), and ``bytes``, those of a record that has no ``value``.
    """
    records = frame.select(
        fn.lit(log_id).alias("log_id"),
        fn.col("shardId").alias("partition"),
        fn.col("sequenceNumber").alias("offset"),
        fn.col("approximateArrivalTimestamp").alias("recorded_at"),
        "stream",
        fn.try_validate_utf8(fn.col("data").cast("string")).alias("value"),
        "data",
    )
    no_text = fn.col("value").isNull()
    return clean(records, kind).select(
        *CLEANED[kind].names,
        *COORDINATE,
        "recorded_at",
        "value",
        "stream",
        fn.when(no_text & fn.col("data").isNotNull(), "not_json").otherwise(fn.col("reason")).alias("reason"),
        fn.when(no_text, fn.col("data")).alias("bytes"),
    )


def collect(rows: DataFrame) -> pa.Table:
    """``read_rows``, computed, with each record's ``content_hash``.

    The text comes here anyway. Hashed by a function in Spark, it would go to a Python process and back before.
    """
    read = rows.toArrow()
    hashes = map(content_hash, read["value"].cast(pa.binary()).to_pylist())
    return read.append_column("content_hash", pa.array(hashes, pa.string()))


def table_rows(rows: pa.Table, kind: Kind) -> pa.Table:
    """The good rows, as the kind's table holds them."""
    return rows.filter(pc.is_null(rows["reason"])).select([*CLEANED[kind].names, *STORED, "value"])


def quarantine_rows(rows: pa.Table, now: datetime) -> pa.Table:
    """The other rows, as ``quarantine/stream`` holds them: with their bytes, in Base64."""
    rejected = rows.filter(pc.is_valid(rows["reason"]))
    columns = ("log_id", "stream", "partition", "offset", "recorded_at", "reason", "value")
    told = {"source": pa.array(["record"] * rejected.num_rows, pa.string())}
    told |= {name: rejected[name] for name in columns}
    raw = pc.coalesce(rejected["value"].cast(pa.binary()), rejected["bytes"]).to_pylist()
    told["raw_base64"] = pa.array([None if one is None else b64encode(one).decode() for one in raw], pa.string())
    told["quarantined_at"] = pa.array([now] * rejected.num_rows, pa.timestamp("us", "UTC"))
    return pa.table(told)
