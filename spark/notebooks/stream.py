# Databricks notebook source
# MAGIC %md
# MAGIC # The stream path: Kinesis to Delta
# MAGIC One query per stream: decode, clean by the same rules as the batch path, append to `stream/<id>_<kind>_table`;
# MAGIC rows that cannot be cleaned go to `quarantine/stream`. With `once`, what is there is taken and the queries end.

# COMMAND ----------

from pipeline_contracts.names import KINDS, Names
from pipeline_transforms.cleaning import clean
from pipeline_transforms.hashing import with_content_hash
from pipeline_transforms.schemas import CLEANED, COORDINATE
from pyspark.sql import functions as fn

dbutils.widgets.text("pipeline_id", "pinterest")
dbutils.widgets.text("lake_uri", "s3://pinterest-lake/lake")
dbutils.widgets.text("region", "us-east-1")
dbutils.widgets.dropdown("once", "true", ["true", "false"])

spark.conf.set("spark.sql.session.timeZone", "UTC")
names = Names(dbutils.widgets.get("pipeline_id"))
lake = dbutils.widgets.get("lake_uri").rstrip("/")
once = dbutils.widgets.get("once") == "true"

# COMMAND ----------

# MAGIC %md ## Read: a row is a record of the stream, with its place in it


# COMMAND ----------


def records(kind):
    stream = names.stream(kind)
    rows = (
        spark.readStream.format("kinesis")
        .option("streamName", stream)
        .option("region", dbutils.widgets.get("region"))
        .option("initialPosition", "trim_horizon")
        .load()
    )
    return with_content_hash(
        rows.select(
            fn.lit(stream).alias("log_id"),
            fn.col("shardId").alias("partition"),
            fn.col("sequenceNumber").alias("offset"),
            fn.col("approximateArrivalTimestamp").alias("recorded_at"),
            fn.col("data").cast("string").alias("value"),
        )
    )


# COMMAND ----------

# MAGIC %md ## Clean and write


# COMMAND ----------


quarantine = f"{lake}/quarantine/stream"
spark.sql(  # once, before three queries would each make it
    f"CREATE TABLE IF NOT EXISTS delta.`{quarantine}` (log_id string, partition string, offset string,"
    " recorded_at timestamp, content_hash string, value string, reason string) USING delta"
)


def writer(kind):
    """Both appends carry the batch's number, so that a batch that is done again changes nothing."""

    def write(rows, number):
        cleaned = clean(rows, kind).persist()
        once_more = {"txnAppId": f"notebook-{names.stream(kind)}", "txnVersion": number}
        good = cleaned.where("reason IS NULL").select(*CLEANED[kind].names, *COORDINATE.names)
        good.write.format("delta").options(**once_more).mode("append").save(f"{lake}/stream/{names.stream_table(kind)}")
        bad = cleaned.where("reason IS NOT NULL").select(*COORDINATE.names, "value", "reason")
        bad.write.format("delta").options(**once_more).mode("append").save(quarantine)
        cleaned.unpersist()

    return write


def start(kind):
    trigger = {"availableNow": True} if once else {"processingTime": "10 seconds"}
    query = records(kind).writeStream.foreachBatch(writer(kind)).trigger(**trigger)
    return query.option("checkpointLocation", f"{lake}/checkpoints/notebook-{kind}").start()


# COMMAND ----------

# MAGIC %md ## Once: what is there, stream by stream. Else all of them, until one fails

# COMMAND ----------

if once:
    for kind in KINDS:
        start(kind).awaitTermination()
        display(spark.read.format("delta").load(f"{lake}/stream/{names.stream_table(kind)}"))
else:
    queries = [start(kind) for kind in KINDS]
    spark.streams.awaitAnyTermination()
    for query in queries:
        if query.exception():
            raise query.exception()
