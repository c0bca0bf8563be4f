"""The eight questions: nine tables, and beside each "most popular" table the table of all its counts.

Each answer is sorted by its columns that are not measures, in the byte order of UTF-8, which is Spark's order of
text. Groups whose key is null are left out. Years are those of the session's time zone, which is UTC.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as fn

from pipeline_transforms.ages import age_group


@dataclass(frozen=True)
class Policies:
    """Details on which users of this system disagree.

    ``ties``: keep all rows that share the first place, or the first in the table's order. ``median``: the mean of
    the two middle values, or the lower one. ``users``: a person counts once, or once per post. ``from_year`` and
    ``to_year`` narrow the question about years, both included.
    """

    ties: Literal["all", "first"] = "all"
    median: Literal["exact", "lower"] = "exact"
    users: Literal["persons", "posts"] = "persons"
    from_year: int | None = None
    to_year: int | None = None


@dataclass(frozen=True)
class Posts:
    """What the questions read: ``posts`` has a row per pin with what is known of its place and poster.

    Callers that ask several questions can keep ``posts`` in memory (``posts.cache()``).
    """

    posts: DataFrame
    users: DataFrame


Answer = Callable[[Posts, Policies], DataFrame]


def posts_of(pin: DataFrame, geo: DataFrame, user: DataFrame) -> Posts:
    """Join the current rows of the three kinds, one row per key each, to posts.

    A pin without a place or a user stays, with nulls: it takes part in the questions that do not need them.
    """
    joined = (
        pin.select("ind", "category", "poster_name", "follower_count")
        .join(geo.select("ind", "country", fn.year("timestamp").alias("post_year")), on="ind", how="left")
        .join(
            user.select("ind", age_group(fn.col("age")).alias("age_group"), fn.year("date_joined").alias("join_year")),
            on="ind",
            how="left",
        )
    )
    posts = joined.select("category", "poster_name", "follower_count", "country", "post_year", "age_group", "join_year")
    return Posts(posts=posts, users=user.select("user_name", "age", "date_joined"))


def most_popular_category_by_country_counts(data: Posts, policies: Policies) -> DataFrame:
    """How many posts each category has in each country."""
    del policies
    return _category_counts(data.posts, "country")


def most_popular_category_by_country(data: Posts, policies: Policies) -> DataFrame:
    """Question 1."""
    counts = most_popular_category_by_country_counts(data, policies)
    return _most(counts, "country", "category", "category_count", policies)


def most_popular_category_by_year_counts(data: Posts, policies: Policies) -> DataFrame:
    """How many posts each category has in each year."""
    posts = data.posts
    if policies.from_year is not None:
        posts = posts.where(fn.col("post_year") >= policies.from_year)
    if policies.to_year is not None:
        posts = posts.where(fn.col("post_year") <= policies.to_year)
    return _category_counts(posts, "post_year")


def most_popular_category_by_year(data: Posts, policies: Policies) -> DataFrame:
    """Question 2."""
    counts = most_popular_category_by_year_counts(data, policies)
    return _most(counts, "post_year", "category", "category_count", policies)


def top_poster_by_country(data: Posts, policies: Policies) -> DataFrame:
    """Question 3, first half: a poster counts with the highest number seen in that country."""
    known = data.posts.dropna(subset=["country", "poster_name", "follower_count"])
    posters = known.groupBy("country", "poster_name").agg(fn.max("follower_count").alias("follower_count"))
    return _most(posters, "country", "poster_name", "follower_count", policies)


def country_of_top_poster(data: Posts, policies: Policies) -> DataFrame:
    """Question 3, second half."""
    known = data.posts.dropna(subset=["country", "poster_name", "follower_count"])
    countries = known.groupBy("country").agg(fn.max("follower_count").alias("follower_count"))
    everywhere = fn.lit(1)
    place = _place(Window.partitionBy(everywhere), "follower_count", "country", policies)
    return (
        countries.select("*", place.alias("__place"))
        .where(fn.col("__place") == 1)
        .select("country", "follower_count")
        .orderBy("country")
    )


def most_popular_category_by_age_group_counts(data: Posts, policies: Policies) -> DataFrame:
    """How many posts of each category each age group has."""
    del policies
    return _category_counts(data.posts, "age_group")


def most_popular_category_by_age_group(data: Posts, policies: Policies) -> DataFrame:
    """Question 4."""
    counts = most_popular_category_by_age_group_counts(data, policies)
    return _most(counts, "age_group", "category", "category_count", policies)


def median_followers_by_age_group(data: Posts, policies: Policies) -> DataFrame:
    """Question 5."""
    return _median_followers(data.posts, ["age_group"], policies)


def users_joined_by_year(data: Posts, policies: Policies) -> DataFrame:
    """Question 6."""
    users = data.users.where(fn.col("date_joined").isNotNull())
    if policies.users == "persons":
        users = users.groupBy("user_name", "age", "date_joined").agg(fn.lit(1).alias("once"))
    joined = users.groupBy(fn.year("date_joined").alias("post_year")).agg(fn.count("*").alias("number_users_joined"))
    return joined.select("post_year", "number_users_joined").orderBy("post_year")


def median_followers_by_join_year(data: Posts, policies: Policies) -> DataFrame:
    """Question 7."""
    return _median_followers(_by_join_year(data.posts), ["post_year"], policies)


def median_followers_by_join_year_and_age_group(data: Posts, policies: Policies) -> DataFrame:
    """Question 8."""
    return _median_followers(_by_join_year(data.posts), ["post_year", "age_group"], policies)


ANSWERS: Final[Mapping[str, Answer]] = MappingProxyType(
    {
        "most_popular_category_by_country": most_popular_category_by_country,
        "most_popular_category_by_year": most_popular_category_by_year,
        "top_poster_by_country": top_poster_by_country,
        "country_of_top_poster": country_of_top_poster,
        "most_popular_category_by_age_group": most_popular_category_by_age_group,
        "median_followers_by_age_group": median_followers_by_age_group,
        "users_joined_by_year": users_joined_by_year,
        "median_followers_by_join_year": median_followers_by_join_year,
        "median_followers_by_join_year_and_age_group": median_followers_by_join_year_and_age_group,
    }
)
"""The nine tables, in the order of the questions."""

COUNTS: Final[Mapping[str, Answer]] = MappingProxyType(
    {
        "most_popular_category_by_country_counts": most_popular_category_by_country_counts,
        "most_popular_category_by_year_counts": most_popular_category_by_year_counts,
        "most_popular_category_by_age_group_counts": most_popular_category_by_age_group_counts,
    }
)
"""All counts behind the "most popular" tables."""


def _by_join_year(posts: DataFrame) -> DataFrame:
    """The tables about joining name their year ``post_year``, too."""
    return posts.select(fn.col("join_year").alias("post_year"), "age_group", "follower_count")


def _category_counts(posts: DataFrame, group: str) -> DataFrame:
    known = posts.dropna(subset=[group, "category"])
    counts = known.groupBy(group, "category").agg(fn.count("*").alias("category_count"))
    return counts.select(group, "category", "category_count").orderBy(group, "category")


def _most(rows: DataFrame, group: str, name: str, measure: str, policies: Policies) -> DataFrame:
    """The rows with the highest measure of each group."""
    place = _place(Window.partitionBy(group), measure, name, policies)
    top = rows.select("*", place.alias("__place")).where(fn.col("__place") == 1)
    return top.select(group, name, measure).orderBy(group, name)


def _place(window: WindowSpec, measure: str, name: str, policies: Policies) -> Column:
    if policies.ties == "first":
        return fn.row_number().over(window.orderBy(fn.col(measure).desc(), fn.col(name)))
    return fn.rank().over(window.orderBy(fn.col(measure).desc()))


def _median_followers(posts: DataFrame, groups: list[str], policies: Policies) -> DataFrame:
    known = posts.dropna(subset=[*groups, "follower_count"])
    middle = {
        "exact": fn.percentile("follower_count", fn.lit(0.5)),
        # What percentile_approx gives, without its error on large groups.
        "lower": fn.expr("percentile_disc(0.5) WITHIN GROUP (ORDER BY follower_count)").cast("double"),
    }[policies.median]
    medians = known.groupBy(*groups).agg(middle.alias("median_follower_count"))
    return medians.select(*groups, "median_follower_count").orderBy(*groups)
