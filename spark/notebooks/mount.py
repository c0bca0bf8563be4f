# Databricks notebook source
# MAGIC %md
# MAGIC # Reach the raw objects
# MAGIC **Unity Catalog** (new workspaces): an external location and a volume; the objects lie at
# MAGIC `/Volumes/main/<id>/raw/topics`. **Mount** (old workspaces): below `/mnt/<bucket>`, opened by the cluster's
# MAGIC instance profile. Both may be run again.

# COMMAND ----------

from batch_analyser.mounts import external_location_sql, mount
from pipeline_contracts.names import Names

dbutils.widgets.text("pipeline_id", "pinterest")
dbutils.widgets.text("raw_bucket", "")
dbutils.widgets.text("credential", "pinterest-raw")
dbutils.widgets.dropdown("way", "external location", ["external location", "mount"])

names = Names(dbutils.widgets.get("pipeline_id"))
bucket = dbutils.widgets.get("raw_bucket") or names.bucket

# COMMAND ----------

if dbutils.widgets.get("way") == "mount":
    root = mount(dbutils, bucket, f"/mnt/{bucket}")
else:
    for statement in external_location_sql(names, bucket, dbutils.widgets.get("credential")):
        spark.sql(statement)
    root = f"/Volumes/main/{names.pipeline_id}/raw"

# COMMAND ----------

display(dbutils.fs.ls(f"{root}/topics"))
