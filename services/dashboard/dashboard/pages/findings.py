"""What an answer says, in a sentence: made of its rows, so that it is as right as they are."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from dashboard.charts.marks import text
from dashboard.charts.specs import leaders, led
from dashboard.lake.answers import Answer, Row, by_meaning
from dashboard.words import number

_NAMED: Final = 4


def finding(answer: Answer) -> str:
    """The sentence; empty where there is none to make, or only a part of the rows is in memory."""
    make = _FINDINGS.get(answer.name)
    return "" if make is None or not answer.rows or not answer.whole else make(answer.rows)


def listed(names: Sequence[Any]) -> str:
    """``a``, ``a and b``, ``a, b and c``; of many the first and how many more."""
    texts = [text(name) for name in names]
    if len(texts) > _NAMED:
        texts = [*texts[: _NAMED - 1], f"{len(texts) - _NAMED + 1} more"]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _by_country(rows: Sequence[Row]) -> str:
    counts = led(rows)
    alone, shared = most = next(iter(counts.values()))
    first = [category for category, count in counts.items() if count == most]
    lead = "leads most often:" if len(first) == 1 else "lead most often: each"
    countries = len(leaders(rows, "country"))
    return (
        f"{listed(first)} {lead} alone in {alone} of {number(countries)} countries, "
        f"and sharing the first place in {shared}."
    )


def _by_year(rows: Sequence[Row]) -> str:
    year, tied = max(leaders(rows, "post_year").items())
    return f"In {year}, the newest year: {_categories(tied)}."


def _by_age(rows: Sequence[Row]) -> str:
    groups = leaders(by_meaning(rows), "age_group")
    return "; ".join(f"{group}: {listed([row['category'] for row in tied])}" for group, tied in groups.items()) + "."


def _posters(rows: Sequence[Row]) -> str:
    most = max(row["follower_count"] for row in rows)
    names = dict.fromkeys(row["poster_name"] for row in rows if row["follower_count"] == most)
    return f"{listed(list(names))}, with {number(most)} followers."


def _top_country(rows: Sequence[Row]) -> str:
    return f"{listed([row['country'] for row in rows])}, with {number(rows[0]['follower_count'])} followers."


def _joined(rows: Sequence[Row]) -> str:
    total = sum(row["number_users_joined"] for row in rows)
    most = max(rows, key=lambda row: row["number_users_joined"])
    return (
        f"{number(total)} users joined in {len(rows)} year{'' if len(rows) == 1 else 's'}; "
        f"{most['post_year']} had the most, {number(most['number_users_joined'])}."
    )


def _medians(of: Callable[[Row], str]) -> Callable[[Sequence[Row]], str]:
    def made(rows: Sequence[Row]) -> str:
        numbers = [row["median_follower_count"] for row in rows]
        told = [
            f"{listed([of(row) for row in rows if row['median_follower_count'] == end])} ({number(end)})"
            for end in (max(numbers), min(numbers))
        ]
        return (
            f"The same for all: {told[0]}." if told[0] == told[1] else f"Highest for {told[0]}, lowest for {told[1]}."
        )

    return made


def _categories(tied: Sequence[Row]) -> str:
    count = tied[0]["category_count"]
    each = " each" if len(tied) > 1 else ""
    return f"{listed([row['category'] for row in tied])}, with {number(count)} post{'' if count == 1 else 's'}{each}"


_FINDINGS: Final[Mapping[str, Callable[[Sequence[Row]], str]]] = MappingProxyType(
    {
        "most_popular_category_by_country": _by_country,
        "most_popular_category_by_year": _by_year,
        "top_poster_by_country": _posters,
        "country_of_top_poster": _top_country,
        "most_popular_category_by_age_group": _by_age,
        "median_followers_by_age_group": _medians(lambda row: row["age_group"]),
        "users_joined_by_year": _joined,
        "median_followers_by_join_year": _medians(lambda row: f"those who joined in {row['post_year']}"),
        "median_followers_by_join_year_and_age_group": _medians(
            lambda row: f"{row['age_group']} who joined in {row['post_year']}"
        ),
    }
)
