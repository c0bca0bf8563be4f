# Databricks notebook source
# MAGIC %md
# MAGIC # The batch path, step by step
# MAGIC One data frame per topic, cleaned, then the eight questions, each with its chart. The job `<id>-batch` does the
# MAGIC same with a ledger, quarantine and stored answers; this notebook writes nothing.
# MAGIC
# MAGIC `root` is where the raw objects are: a mount, or `s3://<bucket>`; where it is empty, the volume that notebook
# MAGIC `mount` made in `catalog` (where that is empty, the session's).

# COMMAND ----------

from batch_analyser.charts import bar_chart
from batch_analyser.mounts import volume_path
from batch_analyser.policies import parse_policies
from batch_analyser.raw_frames import raw_frames
from pipeline_contracts.names import KINDS, Names
from pipeline_transforms.answers import ANSWERS, posts_of
from pipeline_transforms.cleaning import clean, good_rows
from pipeline_transforms.versions import current_rows
from spark_kit.session import make_alike

dbutils.widgets.text("pipeline_id", "pinterest")
dbutils.widgets.text("root", "")
dbutils.widgets.text("catalog", "")
dbutils.widgets.dropdown("ties", "all", ["all", "first"])
dbutils.widgets.dropdown("median", "exact", ["exact", "lower"])
dbutils.widgets.dropdown("users", "persons", ["persons", "posts"])

make_alike(spark)
names = Names(dbutils.widgets.get("pipeline_id"))
policies = parse_policies({name: dbutils.widgets.get(name) for name in ("ties", "median", "users")})

# COMMAND ----------

# MAGIC %md ## Raw: one data frame per topic

# COMMAND ----------

catalog = dbutils.widgets.get("catalog") or spark.catalog.currentCatalog()
raw = raw_frames(spark, dbutils.widgets.get("root") or volume_path(names, catalog), names)
df_pin, df_geo, df_user = (raw[kind] for kind in KINDS)
for df in (df_pin, df_geo, df_user):
    display(df.limit(10))

# COMMAND ----------

# MAGIC %md ## Cleaned: one current row per post

# COMMAND ----------

cleaned = {kind: current_rows(good_rows(clean(raw[kind], kind), kind)) for kind in KINDS}
for df in cleaned.values():
    display(df.drop("superseded").limit(10))

# COMMAND ----------

# MAGIC %md ## What could not be cleaned, by reason

# COMMAND ----------

for kind in KINDS:
    display(clean(raw[kind], kind).where("reason IS NOT NULL").groupBy("reason").count())

# COMMAND ----------

# MAGIC %md ## 1. The most popular category in each country

# COMMAND ----------

posts = posts_of(*(cleaned[kind] for kind in KINDS))


def show(name):
    answer = ANSWERS[name](posts, policies)
    display(answer)
    displayHTML(bar_chart(name, answer))


show("most_popular_category_by_country")

# COMMAND ----------

# MAGIC %md ## 2. The most popular category in each year

# COMMAND ----------

show("most_popular_category_by_year")

# COMMAND ----------

# MAGIC %md ## 3. The poster with the most followers in each country, and the country of the first of them

# COMMAND ----------

show("top_poster_by_country")
show("country_of_top_poster")

# COMMAND ----------

# MAGIC %md ## 4. The most popular category in each age group

# COMMAND ----------

show("most_popular_category_by_age_group")

# COMMAND ----------

# MAGIC %md ## 5. The median follower count of each age group

# COMMAND ----------

show("median_followers_by_age_group")

# COMMAND ----------

# MAGIC %md ## 6. How many users joined each year

# COMMAND ----------

show("users_joined_by_year")

# COMMAND ----------

# MAGIC %md ## 7. The median follower count by the year of joining

# COMMAND ----------

show("median_followers_by_join_year")

# COMMAND ----------

# MAGIC %md ## 8. The median follower count by the year of joining and age group

# COMMAND ----------

show("median_followers_by_join_year_and_age_group")
