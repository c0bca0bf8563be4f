# Databricks notebook source
# MAGIC %md
# MAGIC # The answers of the last complete run
# MAGIC What the job `<id>-batch` has stored, by the versions that belong together. The tables lie below `lake_uri`, as
# MAGIC `gold/<answer>`.

# COMMAND ----------

from batch_analyser.jobs.answers import stored_frames
from batch_analyser.settings import AnalyserSettings
from pipeline_contracts.lake import ANSWERS

dbutils.widgets.text("lake_uri", "s3://pinterest-lake/lake")

found = stored_frames(spark, AnalyserSettings(LAKE_URI=dbutils.widgets.get("lake_uri")))
if found is None:
    raise RuntimeError("there is no complete run yet: start the DAG, or the job <id>-batch")
run, answers = found

# COMMAND ----------

# MAGIC %md ## The run, and the answers by question

# COMMAND ----------

display(spark.createDataFrame([run]))
for name, answer in answers.items():
    displayHTML(f"<h3>{ANSWERS[name]}</h3>")
    display(answer)
