# Databricks notebook source
# MAGIC %md
# MAGIC # Reach the raw objects
# MAGIC **Unity Catalog** (new workspaces): an external location and a volume; the objects lie at
# MAGIC `/Volumes/<catalog>/<id>/raw/topics` (where `catalog` is empty, in the session's). **Mount** (old workspaces):
# MAGIC below `/mnt/<bucket>`, opened by the cluster's instance profile. Both may be run again.

# COMMAND ----------

from batch_analyser.mounts import external_location_sql, mount, volume_path
from pipeline_contracts.names import Names

dbutils.widgets.text("pipeline_id", "pinterest")
dbutils.widgets.text("raw_bucket", "")
dbutils.widgets.text("credential", "pinterest-raw")
dbutils.widgets.text("catalog", "")
dbutils.widgets.dropdown("way", "external location", ["external location", "mount"])

names = Names(dbutils.widgets.get("pipeline_id"))
bucket = dbutils.widgets.get("raw_bucket") or names.bucket

# COMMAND ----------

if dbutils.widgets.get("way") == "mount":
    root = mount(dbutils, bucket, f"/mnt/{bucket}")
else:
    catalog = dbutils.widgets.get("catalog") or spark.catalog.currentCatalog()
    for statement in external_location_sql(names, bucket, dbutils.widgets.get("credential"), catalog):
        spark.sql(statement)
    root = volume_path(names, catalog)

# COMMAND ----------

display(dbutils.fs.ls(f"{root}/topics"))
