"""The chart of each answer: which kind, of which rows, and what it says."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from dashboard.charts import marks
from dashboard.charts.cells import Cell, cells_of
from dashboard.charts.marks import Bar, Spec, text
from dashboard.lake.answers import AGE_GROUPS, Answer, Row, by_meaning
from dashboard.words import number

MOST: Final = 30
"""Bars, years or rows of one chart."""
_MOST_POSTERS: Final = 15
WIDE, NARROW = 640, 316
"""Pixels: beside or above its table, and on a phone."""


@dataclass(frozen=True)
class Chart:
    """What a chart is described by: its specification for a width, what it shows, and how much of the answer."""

    of: Callable[[int], Spec]
    label: str
    note: str = ""


def chart(answer: Answer) -> Chart | None:
    """The chart of an answer; None where it has no rows, or needs none."""
    make = _CHARTS.get(answer.name)
    return None if make is None or not answer.rows else make(answer)


def has_chart(name: str) -> bool:
    """Whether an answer with rows has a chart."""
    return name in _CHARTS


def short(value: float) -> str:
    """A number of followers in few letters: ``950``, ``12.5k``, ``8M``. Rounded; the table holds the exact one."""
    for limit, unit in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if value >= limit * 0.99995:
            part = value / limit
            return f"{part:,.0f}{unit}" if part >= 10_000 else f"{part:,.{3 if part < 100 else 4}g}{unit}"
    return f"{value:.{3 if value < 100 else 4}g}"


def leaders(rows: Sequence[Row], group: str) -> dict[Any, list[Row]]:
    """The rows with the highest count of each group: more than one where several share the first place."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[group]].append(row)
    return dict(found)


def led(rows: Sequence[Row]) -> dict[str, tuple[int, int]]:
    """Of each category: countries that it leads alone, and those where it shares the first place."""
    counts: dict[str, tuple[int, int]] = {}
    for tied in leaders(rows, "country").values():
        for row in tied:
            alone, shared = counts.get(row["category"], (0, 0))
            counts[row["category"]] = (alone + (len(tied) == 1), shared + (len(tied) > 1))
    return dict(sorted(counts.items(), key=lambda one: (-sum(one[1]), -one[1][0], one[0])))


def _led(answer: Answer) -> Chart:
    counts = led(answer.rows)
    bars = [
        Bar(
            category,
            alone,
            f"{alone} + {shared}",
            f"{text(category)}: leads {alone} countries alone, shares the first place in {shared}",
            shared,
        )
        for category, (alone, shared) in list(counts.items())[:MOST]
    ]
    parts = ("leads alone", "shares the first place")
    note = _first(len(bars), len(counts), "the {} categories that lead most")
    return Chart(lambda width: marks.ranked(bars, width, parts), "Countries that each category leads", note)


def _tops(answer: Answer, group: str, of: str) -> Chart:
    groups = leaders(by_meaning(answer.rows), group)
    bars = []
    for value, tied in list(groups.items())[-MOST:]:
        names = ", ".join(text(row["category"], 30) for row in tied[:3]) + (
            f" and {len(tied) - 3} more" if len(tied) > 3 else ""
        )
        count = tied[0]["category_count"]
        bars.append(Bar(f"{value} · {names}", count, number(count), f"{value}: {names}, {_posts(count)}"))
    note = _first(len(bars), len(groups), f"the newest {{}} {of}")
    return Chart(lambda width: marks.ranked(bars, width), f"Posts of the most popular category, by {of[:-1]}", note)


def _posters(answer: Answer) -> Chart:
    rows = sorted(answer.rows, key=lambda row: -row["follower_count"])[:_MOST_POSTERS]
    bars = [
        Bar(
            f"{row['poster_name']} · {row['country']}",
            row["follower_count"],
            short(row["follower_count"]),
            f"{text(row['poster_name'])}, {text(row['country'])}: {number(row['follower_count'])} followers",
        )
        for row in rows
    ]
    note = _first(len(bars), answer.total, "the {} rows with the most followers")
    return Chart(lambda width: marks.ranked(bars, width), "Followers of the leading users", note)


def _medians(answer: Answer) -> Chart:
    bars = [_median(row["age_group"], row) for row in by_meaning(answer.rows)[:MOST]]
    return Chart(lambda width: marks.rows(bars, width), "Median followers, by age group")


def _joined(answer: Answer) -> Chart:
    bars = []
    for row in answer.rows[-MOST:]:
        count = row["number_users_joined"]
        told = f"{row['post_year']}: {number(count)} users joined"
        bars.append(Bar(str(row["post_year"]), count, number(count), told))
    note = _first(len(bars), len(answer.rows), "the newest {} years")
    return Chart(lambda width: marks.columns(bars, width), "Users who joined, by year", note)


def _by_join_year(answer: Answer) -> Chart:
    bars = [_median(str(row["post_year"]), row) for row in answer.rows[-MOST:]]
    note = _first(len(bars), len(answer.rows), "the newest {} years")
    return Chart(lambda width: marks.line(bars, width), "Median followers, by year of joining", note)


def _by_join_year_and_age(answer: Answer) -> Chart:
    years = sorted({row["post_year"] for row in answer.rows})
    shown = set(years[-MOST:])
    rows = [row for row in by_meaning(answer.rows) if row["post_year"] in shown]
    groups = [group for group in AGE_GROUPS if any(row["age_group"] == group for row in rows)]
    cells = []
    for row in rows:
        median = row["median_follower_count"]
        told = f"Joined {row['post_year']}, {row['age_group']}: median of {number(median)} followers"
        cells.append(Cell(str(row["post_year"]), text(row["age_group"]), median, short(median), told))
    note = _first(len(shown), len(years), "the newest {} years")
    label = "Median followers, by year of joining and age group"
    return Chart(lambda width: cells_of(cells, groups, width), label, note)


def _median(label: str, row: Row) -> Bar:
    median = row["median_follower_count"]
    return Bar(label, median, short(median), f"{label}: median of {number(median)} followers")


def _posts(count: int) -> str:
    return f"{number(count)} post{'' if count == 1 else 's'}"


def _first(shown: int, total: int, what: str) -> str:
    """Which part of the answer the chart has, ``{}`` of ``what`` being how many; nothing where it has all."""
    return "" if shown == total else f"The chart shows {what.format(f'{shown} of {number(total)}')}."


_CHARTS: Final[Mapping[str, Callable[[Answer], Chart]]] = MappingProxyType(
    {
        "most_popular_category_by_country": _led,
        "most_popular_category_by_year": lambda answer: _tops(answer, "post_year", "years"),
        "top_poster_by_country": _posters,
        "most_popular_category_by_age_group": lambda answer: _tops(answer, "age_group", "age groups"),
        "median_followers_by_age_group": _medians,
        "users_joined_by_year": _joined,
        "median_followers_by_join_year": _by_join_year,
        "median_followers_by_join_year_and_age_group": _by_join_year_and_age,
    }
)
