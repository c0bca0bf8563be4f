"""The nine answers of one run: the tables of gold at the versions that its row in ``runs`` names."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pipeline_contracts.lake import ANSWERS, gold

from dashboard.lake import sql
from dashboard.lake.reader import At, DamagedTableError, LakeError, LakeReader
from dashboard.lake.runs import Run

MOST_ROWS: Final = 5_000
"""Rows of one answer that are kept in memory: a sender can invent countries."""
_MEASURES: Final = frozenset({"category_count", "follower_count", "median_follower_count", "number_users_joined"})

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "most_popular_category_by_country": ("country", "category", "category_count"),
        "most_popular_category_by_year": ("post_year", "category", "category_count"),
        "top_poster_by_country": ("country", "poster_name", "follower_count"),
        "country_of_top_poster": ("country", "follower_count"),
        "most_popular_category_by_age_group": ("age_group", "category", "category_count"),
        "median_followers_by_age_group": ("age_group", "median_follower_count"),
        "users_joined_by_year": ("post_year", "number_users_joined"),
        "median_followers_by_join_year": ("post_year", "median_follower_count"),
        "median_followers_by_join_year_and_age_group": ("post_year", "age_group", "median_follower_count"),
    }
)
"""What each answer has at least (docs/analytics.md)."""
AGE_GROUPS: Final = ("under 18", "18-24", "25-35", "36-50", "+50")
"""By age; sorted as text, the oldest would be the first."""

Row = Mapping[str, Any]
"""One row by its columns, in their order. Keys are text or whole years, measures numbers."""


@dataclass(frozen=True)
class Answer:
    """One table: its first ``MOST_ROWS`` rows, sorted by ``keys`` (bytes of UTF-8), and how many there are in all."""

    name: str
    title: str
    version: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int

    @property
    def keys(self) -> list[str]:
        """The columns that are no measure: together they tell one row from the others."""
        return [column for column in self.columns if column not in _MEASURES]

    @property
    def whole(self) -> bool:
        """Whether ``rows`` are all."""
        return len(self.rows) == self.total


def by_meaning(rows: Iterable[Row]) -> list[Row]:
    """Rows as people read them: age groups by age instead of by letters; all else in the order that they have."""

    def place(row: Row) -> int:
        group = row.get("age_group")
        return AGE_GROUPS.index(group) if group in AGE_GROUPS else len(AGE_GROUPS)

    return sorted(rows, key=lambda row: (row.get("post_year", 0), place(row)))


@dataclass(frozen=True)
class Answers:
    """What one run has answered. ``missing``: tables that it does not know, since their question is newer than it."""

    run: Run
    tables: Mapping[str, Answer]
    missing: tuple[str, ...] = ()


def read(reader: LakeReader, run: Run) -> Answers:
    """The answers of this run. Blocks while its tables are read.

    Raises:
        LakeError: a table cannot be read, or holds another run's rows or values that cannot be.
    """
    tables = {}
    missing = []
    for name, title in ANSWERS.items():
        version = run.versions.get(gold(name))
        if version is None:
            missing.append(name)
        else:
            tables[name] = _read(reader, run, name, title, version)
    return Answers(run, tables, tuple(missing))


def page(reader: LakeReader, run: Run, answer: Answer, after: list[str | int] | None, most: int) -> list[Row]:
    """The rows of one answer that come behind the key ``after``, at most ``most``. Asks the lake only where it must.

    Raises:
        LakeError: the table cannot be read (any more), or holds another run's rows or values that cannot be.
    """
    if answer.whole:
        rows = answer.rows if after is None else [row for row in answer.rows if _key(answer, row) > after]
        return list(rows[:most])
    behind = "true" if after is None else sql.after(answer.keys, after)
    return _rows(reader, run, At(gold(answer.name), answer.version), answer.keys, behind=behind, most=most)


def _key(answer: Answer, row: Row) -> list[Any]:
    return [row[column] for column in answer.keys]


def _read(reader: LakeReader, run: Run, name: str, title: str, version: int) -> Answer:
    at = At(gold(name), version)
    columns = [column for column in reader.columns(at) if column != "run_id"]
    if lacking := [column for column in COLUMNS[name] if column not in columns]:
        raise DamagedTableError(at.table, f"version {version} lacks {', '.join(lacking)}")
    keys = [column for column in columns if column not in _MEASURES]
    rows = _rows(reader, run, at, keys, behind="true", most=MOST_ROWS + 1)
    total = len(rows)
    if total > MOST_ROWS:
        of_others = f"run_id IS NULL OR run_id <> {sql.literal(run.run_id)}"
        counted = f"SELECT count(*) AS n, count(*) FILTER (WHERE {of_others}) AS others FROM answer"  # noqa: S608
        found = reader.rows(counted, {"answer": at}, most=1)[0]
        if found["others"]:
            raise _of_another_run(at)
        total = int(found["n"])
    return Answer(name, title, version, tuple(columns), tuple(rows[:MOST_ROWS]), total)


def _rows(reader: LakeReader, run: Run, at: At, keys: list[str], *, behind: str, most: int) -> list[Row]:
    order = ", ".join(map(sql.name, keys))
    asked = f"SELECT * FROM answer WHERE {behind} ORDER BY {order} LIMIT {int(most)}"  # noqa: S608  # names and literals
    rows = reader.rows(asked, {"answer": at}, most=most)
    if any(row.pop("run_id", None) != run.run_id for row in rows):
        raise _of_another_run(at)
    for row in rows:
        for column, value in row.items():
            if not _can_be(column, value):
                raise DamagedTableError(at.table, f"version {at.version} holds a {column} that is no answer's")
    return list(rows)


def _can_be(column: str, value: object) -> bool:
    """Groups without a key are left out (docs/analytics.md), so nothing is null."""
    if column in _MEASURES:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, int if column == "post_year" else str)


def _of_another_run(at: At) -> LakeError:
    return DamagedTableError(at.table, f"version {at.version} holds another run's rows")
