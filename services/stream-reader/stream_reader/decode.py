"""From Kinesis' columns to cleaned rows, and from those to the rows of the tables."""

from datetime import datetime

from pipeline_contracts.names import Kind
from pipeline_transforms.answers import age_group
from pipeline_transforms.cleaning import clean
from pipeline_transforms.hashing import with_content_hash
from pipeline_transforms.schemas import CLEANED
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from stream_reader.posts import FACTS
from stream_reader.tables import STORED


def read_rows(frame: DataFrame, kind: Kind, log_id: str) -> DataFrame:
    """Decode and clean what ``format("kinesis")`` gives: each record with its coordinate, columns and ``reason``."""
    return cleaned_rows(decode(frame, log_id), kind)


def decode(frame: DataFrame, log_id: str) -> DataFrame:
    """Records out of the columns of ``format("kinesis")``: coordinate, ``stream``, ``value``, ``data``.

    ``value`` is null where the bytes are not UTF-8.
    """
    return frame.select(
        fn.lit(log_id).alias("log_id"),
        fn.col("shardId").alias("partition"),
        fn.col("sequenceNumber").alias("offset"),
        fn.col("approximateArrivalTimestamp").alias("recorded_at"),
        "stream",
        fn.try_validate_utf8(fn.col("data").cast("string")).alias("value"),
        "data",
    )


def cleaned_rows(records: DataFrame, kind: Kind) -> DataFrame:
    """``decode``'s rows with content hash, cleaned columns and ``reason`` (null: a good row)."""
    cleaned = clean(with_content_hash(records), kind).drop("unknown_fields")
    not_text = fn.col("value").isNull() & fn.col("data").isNotNull()
    return cleaned.withColumn("reason", fn.when(not_text, "not_json").otherwise(fn.col("reason")))


def table_rows(cleaned: DataFrame, kind: Kind) -> DataFrame:
    """The good rows, as the kind's table holds them."""
    return cleaned.where(fn.col("reason").isNull()).select(*CLEANED[kind].names, *STORED, "value")


def facts(rows: DataFrame, kind: Kind, *more: str) -> DataFrame:
    """What the popularity is computed from (``Posts.put``), of cleaned rows or of the table's, and ``more`` columns."""
    computed = {"age_group": age_group(fn.col("age")).alias("age_group")} if kind == "user" else {}
    return rows.select("ind", *STORED, *(computed.get(name, fn.col(name)) for name in FACTS[kind]), *more)


def quarantine_rows(cleaned: DataFrame, now: datetime) -> DataFrame:
    """The other rows, as ``quarantine/stream`` holds them: with their bytes, in Base64."""
    return cleaned.where(fn.col("reason").isNotNull()).select(
        fn.lit("record").alias("source"),
        "log_id",
        "stream",
        "partition",
        "offset",
        "recorded_at",
        "reason",
        "value",
        fn.translate(fn.base64("data"), "\r\n", "").alias("raw_base64"),  # Spark breaks it into lines
        fn.lit(now).cast("timestamp").alias("quarantined_at"),
    )
