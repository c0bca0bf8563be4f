"""Raw objects as data frames, for notebooks: one per topic, straight from the files.

The jobs read objects by their own rules (``lines.py``, the ledger); this is for looking at what lies there.
"""

from pipeline_contracts.names import KINDS, Kind, Names
from pipeline_transforms.hashing import with_content_hash
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn

_ENVELOPE = "offset bigint, value string, key string, timestamp string"


def raw_frames(spark: SparkSession, root: str, names: Names) -> dict[Kind, DataFrame]:
    """The records of each topic's objects below ``root`` (a mount, a volume, or ``s3://bucket``)."""
    return {kind: raw_frame(spark, root, names.topic(kind)) for kind in KINDS}


def raw_frame(spark: SparkSession, root: str, topic: str) -> DataFrame:
    """One topic's records, as ``clean`` takes them. A line that is no envelope is left out."""
    files = spark.read.option("recursiveFileLookup", "true").text(f"{root.rstrip('/')}/topics/{topic}")
    partition = fn.regexp_extract("_metadata.file_path", r"\+(\d+)\+\d+\.[^/]*$", 1)
    lines = files.select(fn.from_json("value", _ENVELOPE).alias("line"), partition.alias("partition"))
    records = lines.where("line.offset IS NOT NULL").select(
        fn.lit(f"topic:{topic}").alias("log_id"),
        fn.lit(topic).alias("topic"),
        fn.col("partition").cast("int").alias("partition"),
        fn.col("line.offset").alias("offset"),
        fn.col("line.timestamp").try_cast("timestamp").alias("recorded_at"),
        fn.col("line.key").alias("key"),
        fn.col("line.value").alias("value"),
    )
    return with_content_hash(records)
