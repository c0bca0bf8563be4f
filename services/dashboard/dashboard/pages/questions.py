"""The eight questions in words: which tables answer each, what the answer means, and how ties are treated."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pipeline_contracts.lake import ANSWERS


@dataclass(frozen=True)
class Question:
    """``tables``: its answers, the one with the chart first. ``policy``: which policy has a say in it."""

    title: str
    tables: tuple[str, ...]
    means: str
    policy: str

    @property
    def number(self) -> str:
        """The number that its title begins with."""
        return ANSWERS[self.tables[0]].partition(".")[0]


COLUMNS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "country": ("Country", "text"),
        "category": ("Category", "text"),
        "poster_name": ("User", "text"),
        "age_group": ("Age group", ""),
        "post_year": ("Year", ""),
        "category_count": ("Posts", "num"),
        "follower_count": ("Followers", "num"),
        "number_users_joined": ("Users joined", "num"),
        "median_follower_count": ("Median followers", "num"),
    }
)
"""Titles and kinds of an answer's columns, for tables."""

_MEDIAN: Final = (
    "Each post counts once, with its poster's follower count at that time; a post whose count is not known is left out."
)
QUESTIONS: Final = (
    Question(
        "Most popular category in each country",
        ("most_popular_category_by_country",),
        "Of each country, the category with the most posts that were made there.",
        "ties",
    ),
    Question(
        "Most popular category each year",
        ("most_popular_category_by_year",),
        "Of each year, the category with the most posts that were made in it, in UTC.",
        "ties",
    ),
    Question(
        "User with the most followers in each country",
        ("top_poster_by_country", "country_of_top_poster"),
        "A user counts once in each country, with the highest follower count that was seen there.",
        "ties",
    ),
    Question(
        "Most popular category for each age group",
        ("most_popular_category_by_age_group",),
        "Of each age group of posters, the category with the most posts.",
        "ties",
    ),
    Question("Median follower count for each age group", ("median_followers_by_age_group",), _MEDIAN, "median"),
    Question(
        "Users joined each year",
        ("users_joined_by_year",),
        "By the year of the joining date, in UTC.",
        "users",
    ),
    Question("Median follower count by joining year", ("median_followers_by_join_year",), _MEDIAN, "median"),
    Question(
        "Median follower count by joining year and age group",
        ("median_followers_by_join_year_and_age_group",),
        _MEDIAN,
        "median",
    ),
)

_POLICIES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("ties", "all"): "Where several share the first place, all of them are listed.",
        ("ties", "first"): "Where several share the first place, the first by name is listed.",
        ("median", "exact"): "Of an even number of values, the mean of the middle two.",
        ("median", "lower"): "Of an even number of values, the lower of the middle two.",
        ("users", "persons"): "People with the same name, age and joining date count as one.",
        ("users", "posts"): "Each post's user counts, however often the same person posts.",
    }
)


def rule(question: Question, policies: Mapping[str, str]) -> str:
    """What the policy in force says about this question, as a sentence."""
    value = policies.get(question.policy, "")
    return _POLICIES.get((question.policy, value), f"Policy {question.policy}: {value}." if value else "")
