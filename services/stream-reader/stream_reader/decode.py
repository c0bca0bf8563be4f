"""From Kinesis' columns to cleaned rows, by Spark; and from those, collected, to the rows of the tables."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pipeline_contracts.names import Kind
from pipeline_transforms.cleaning import clean
from pipeline_transforms.hashing import with_content_hash
from pipeline_transforms.schemas import CLEANED
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from stream_reader.tables import STORED


def read_rows(frame: DataFrame, kind: Kind, log_id: str) -> DataFrame:
    """Decode and clean what ``format("kinesis")`` gives.

    Each record has its coordinate, cleaned columns, ``reason`` (null: a good row), ``stream``, ``value`` (null where
    the bytes are not UTF-8), and the bytes of one that is not good, in Base64.
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
    cleaned = clean(with_content_hash(records), kind)
    not_text = fn.col("value").isNull() & fn.col("data").isNotNull()
    reason = fn.when(not_text, "not_json").otherwise(fn.col("reason"))
    base64 = fn.translate(fn.base64("data"), "\r\n", "")  # Spark breaks it into lines
    return cleaned.select(
        *CLEANED[kind].names,
        *STORED,
        "value",
        "stream",
        reason.alias("reason"),
        fn.when(reason.isNotNull(), base64).alias("raw_base64"),
    )


def table_rows(rows: pa.Table, kind: Kind) -> pa.Table:
    """The good rows, as the kind's table holds them."""
    return rows.filter(pc.is_null(rows["reason"])).select([*CLEANED[kind].names, *STORED, "value"])


def quarantine_rows(rows: pa.Table, now: datetime) -> pa.Table:
    """The other rows, as ``quarantine/stream`` holds them: with their bytes, in Base64."""
    rejected = rows.filter(pc.is_valid(rows["reason"]))
    columns = ("log_id", "stream", "partition", "offset", "recorded_at", "reason", "value", "raw_base64")
    told = {"source": pa.array(["record"] * rejected.num_rows, pa.string())}
    told |= {name: rejected[name] for name in columns}
    told["quarantined_at"] = pa.array([now] * rejected.num_rows, pa.timestamp("us", "UTC"))
    return pa.table(told)
