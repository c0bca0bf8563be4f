"""How popular each profile is, from the current rows of the three kinds.

A profile is a ``poster_name``. Its score is the sum over its posts of ``log10(1 + followers) × 2^(-age / half life)``;
the age counts from the first arrival of the post's pin, and a follower count that is not known is 0. A score holds for
one point in time, ``as_of``. At a later one, ``t``, it is ``score × 2^(-(t - as_of) / half life)``, so that a profile
must be computed again only when its posts change.
"""

from datetime import datetime
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn

from pipeline_transforms.answers import age_group

RECENT_POSTS: Final = 20
CELL: Final = ("category", "country", "age_group")
"""What the popular profiles can be asked for by."""

PROFILES: Final = (
    "poster_name string, as_of timestamp, score double, posts bigint, follower_count bigint, last_post_at timestamp, "
    "cells array<struct<category: string, country: string, age_group: string, posts: bigint, score: double>>, "
    "recent_posts array<struct<ind: int, title: string, category: string, country: string, age_group: string, "
    "follower_count: bigint, first_arrival: timestamp>>"
)
"""The columns that ``profiles`` gives."""


def profiles(pin: DataFrame, geo: DataFrame, user: DataFrame, as_of: datetime, half_life_s: float) -> DataFrame:
    """One row per profile with at least one post; posts whose poster is not known belong to none.

    ``pin``, ``geo`` and ``user`` are current rows (``versions.current_rows``). A post's geo and user row may be
    missing; its country or age group is then null. Scores are summed in the order of ``ind``, so that the same posts
    always give the same digits. ``cells`` are the same sums for each category, country and age group;
    ``recent_posts`` are the newest, the newest first; ``follower_count`` is that of the newest.
    """
    posts = _posts(pin, geo, user, as_of, half_life_s)
    cells = posts.groupBy("poster_name", *CELL).agg(
        fn.collect_list("weighed").alias("weighed"), fn.collect_list("arrived").alias("arrived")
    )
    summed = cells.select(
        "poster_name",
        "weighed",
        "arrived",
        fn.struct(
            *CELL, fn.size("weighed").cast("bigint").alias("posts"), _sum(fn.array_sort("weighed")).alias("score")
        ).alias("cell"),
    )
    whole = summed.groupBy("poster_name").agg(
        fn.array_sort(fn.flatten(fn.collect_list("weighed"))).alias("weighed"),
        fn.sort_array(fn.flatten(fn.collect_list("arrived")), asc=False).alias("arrived"),
        fn.array_sort(fn.collect_list("cell")).alias("cells"),
    )
    newest = fn.element_at("arrived", 1)
    return whole.select(
        "poster_name",
        fn.lit(as_of).cast("timestamp").alias("as_of"),
        _sum(fn.col("weighed")).alias("score"),
        fn.size("weighed").cast("bigint").alias("posts"),
        newest["post"]["follower_count"].alias("follower_count"),
        newest["post"]["first_arrival"].alias("last_post_at"),
        "cells",
        fn.transform(fn.slice("arrived", 1, RECENT_POSTS), lambda item: item["post"]).alias("recent_posts"),
    )


def _posts(pin: DataFrame, geo: DataFrame, user: DataFrame, as_of: datetime, half_life_s: float) -> DataFrame:
    """A row per post: its profile and cell, (ind, weight), and (place in the order of arrival, what it is)."""
    followers = fn.coalesce(fn.col("follower_count"), fn.lit(0).cast("bigint"))
    joined = (
        pin.where(fn.col("poster_name").isNotNull())
        .join(geo.select("ind", "country"), on="ind", how="left")
        .join(user.select("ind", age_group(fn.col("age")).alias("age_group")), on="ind", how="left")
        .withColumn("follower_count", followers)
    )
    age_s = (fn.unix_micros(fn.lit(as_of).cast("timestamp")) - fn.unix_micros("recorded_at")) / fn.lit(1e6)
    weight = fn.log10(1 + fn.col("follower_count")) * fn.pow(fn.lit(2.0), -age_s / fn.lit(half_life_s))
    place = fn.struct("recorded_at", "partition", fn.length("offset"), "offset", "log_id", "ind")
    post = fn.struct("ind", "title", *CELL, "follower_count", fn.col("recorded_at").alias("first_arrival"))
    return joined.select(
        "poster_name",
        *CELL,
        fn.struct("ind", weight.alias("weight")).alias("weighed"),
        fn.struct(place.alias("place"), post.alias("post")).alias("arrived"),
    )


def _sum(weighed: Column) -> Column:
    return fn.aggregate(weighed, fn.lit(0.0), lambda total, item: total + item["weight"])
