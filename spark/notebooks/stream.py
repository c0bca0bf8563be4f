# Databricks notebook source
# MAGIC %md
# MAGIC # The stream path: Kinesis to Delta
# MAGIC One query per stream: decode, clean by the same rules as the batch path, append to `stream/<id>_<kind>_table`;
# MAGIC rows that cannot be cleaned go to `quarantine/stream`. With `once`, what is there is taken and the queries end.
# MAGIC The tables are those of the stream reader (`services/stream-reader`), and hold each record once.

# COMMAND ----------

from concurrent.futures import Future

from pipeline_contracts.lake import STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Names
from pipeline_transforms.cleaning import clean
from pipeline_transforms.hashing import with_content_hash
from pyspark.sql import Window
from pyspark.sql import functions as fn
from service_kit.retries import RetryPolicy, retry
from spark_kit.lake import DeltaLake, Transaction
from spark_kit.session import make_alike
from stream_reader.lake.tables import record_tables, rows_schema
from stream_reader.queries.streams import KinesisStreams, StreamError

dbutils.widgets.text("pipeline_id", "pinterest")
dbutils.widgets.text("lake_uri", "s3://pinterest-lake/lake")
dbutils.widgets.text("region", "us-east-1")
dbutils.widgets.dropdown("once", "true", ["true", "false"])

make_alike(spark)
names = Names(dbutils.widgets.get("pipeline_id"))
region = dbutils.widgets.get("region")
lake = DeltaLake(spark, dbutils.widgets.get("lake_uri"))
once = dbutils.widgets.get("once") == "true"
streams = KinesisStreams(None, region)

# COMMAND ----------

# MAGIC %md ## The tables, made before the first row

# COMMAND ----------

for table, (schema, properties) in record_tables(names).items():
    if not lake.exists(table):
        lake.create(table, schema, properties=properties)

# COMMAND ----------

# MAGIC %md ## Read: a row is a record of the stream, with its place in it


# COMMAND ----------


def current_log(kind):
    """The log id of the stream that is there now; Kinesis may be away for a minute."""
    return retry(lambda: streams.describe(names.stream(kind)), RetryPolicy(deadline_s=60), StreamError).log_id


def records(kind, log_id):
    rows = (
        spark.readStream.format("kinesis")
        .option("streamName", names.stream(kind))
        .option("region", region)
        .option("initialPosition", "trim_horizon")
        .load()
    )
    return with_content_hash(
        rows.select(
            fn.lit(log_id).alias("log_id"),
            fn.lit(names.stream(kind)).alias("stream"),
            fn.col("shardId").alias("partition"),
            fn.col("sequenceNumber").alias("offset"),
            fn.col("approximateArrivalTimestamp").alias("recorded_at"),
            fn.try_validate_utf8(fn.col("data").cast("string")).alias("value"),
            "data",
        )
    )


# COMMAND ----------

# MAGIC %md
# MAGIC ## Clean and write
# MAGIC A batch that is done again changes nothing: its appends carry the query's id, which is its checkpoint's own, and
# MAGIC the batch's number. A new checkpoint begins at the oldest record: what the tables hold already is left out.


# COMMAND ----------

# A sequence number is a number of up to 56 digits; behind its point stands which sub-record of an aggregate it is.
digits = fn.substring_index("offset", ".", 1)
order = fn.struct(fn.length(digits), digits.alias("digits"), fn.length("offset"), fn.col("offset"))


def numbered(rows):
    """The sub-records of one Kinesis record (KPL) share a sequence number: tell them apart by their order in it.

    The source gives them one after the other, in one batch and one task.
    """
    within = Window.partitionBy("partition", "offset").orderBy("row")
    nth = fn.row_number().over(within) - 1
    place = fn.when(nth == 0, fn.col("offset")).otherwise(fn.concat_ws(".", "offset", nth))
    return rows.withColumn("row", fn.monotonically_increasing_id()).withColumn("offset", place).drop("row")


def held(kind, log_id):
    """Where the records are that the tables hold of this stream."""
    places = [
        lake.read(name).where(fn.col("log_id") == log_id).select("partition", "offset")
        for name in (stream_table(names, kind), STREAM_QUARANTINE)
    ]
    return places[0].unionAll(places[1])


def last_held(kind, log_id):
    """The highest sequence number of each shard."""
    return dict(held(kind, log_id).groupBy("partition").agg(fn.max(order)).collect())


def writer(kind, log_id, query_id):
    known = last_held(kind, log_id)

    def write(rows, number):
        no_text = fn.col("value").isNull() & fn.col("data").isNotNull()
        reason = fn.when(no_text, "not_json").otherwise(fn.col("reason"))
        judged = clean(numbered(rows), kind).withColumn("reason", reason).persist()
        shards = judged.groupBy("partition").agg(fn.min(order), fn.count("reason")).collect()
        # After the rows were read: creation times do not come back, so all of them are of this stream.
        if current_log(kind) != log_id:
            raise RuntimeError(f"stream {names.stream(kind)} was recreated; start this notebook again")
        new = judged
        if any(shard in known and lowest <= known[shard] for shard, lowest, _ in shards):
            new = judged.join(held(kind, log_id), ["partition", "offset"], "left_anti")
        bad = new.where("reason IS NOT NULL").select(
            fn.lit("record").alias("source"),
            *("log_id", "stream", "partition", "offset", "recorded_at", "reason", "value"),
            fn.base64("data").alias("raw_base64"),
            fn.current_timestamp().alias("quarantined_at"),
        )
        good = new.where("reason IS NULL").select(*rows_schema(kind).names)
        rejected = {STREAM_QUARANTINE: bad} if any(count for *_, count in shards) else {}
        for name, part in (rejected | {stream_table(names, kind): good}).items():
            lake.append(name, part, transaction=Transaction(f"{query_id.result(30)}/{name}", number))
        judged.unpersist()

    return write


def start(kind):
    trigger = {"availableNow": True} if once else {"processingTime": "10 seconds"}
    log_id = current_log(kind)
    query_id = Future()
    # Jobs of different pools take turns; a query's thread keeps the pool of the one that starts it.
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", kind)
    query = records(kind, log_id).writeStream.foreachBatch(writer(kind, log_id, query_id)).trigger(**trigger)
    # The place in one stream is nothing to another of the same name: a folder for each, by when it was made.
    checkpoint = lake.path(f"checkpoints/notebook-{kind}/{log_id.rpartition('@')[2]}")
    started = query.option("checkpointLocation", checkpoint).start()
    query_id.set_result(started.id)
    return started


# COMMAND ----------

# MAGIC %md ## Once: what is there, stream by stream. Else all of them, until one fails

# COMMAND ----------

if once:
    for kind in KINDS:
        start(kind).awaitTermination()
        display(lake.read(stream_table(names, kind)))
else:
    queries = [start(kind) for kind in KINDS]
    spark.streams.awaitAnyTermination()
    for query in queries:
        if query.exception():
            raise query.exception()
