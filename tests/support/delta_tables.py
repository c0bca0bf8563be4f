"""Delta tables as the analyser leaves them, made in milliseconds without Spark, for tests of what reads them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pipeline_contracts.lake import RUNS, gold

_AT: Final = pa.timestamp("us", tz="UTC")
_TEXT: Final = pa.string()
_LONG: Final = pa.int64()
TYPES: Final[Mapping[str, pa.DataType]] = {
    "country": _TEXT,
    "category": _TEXT,
    "poster_name": _TEXT,
    "age_group": _TEXT,
    "post_year": pa.int32(),
    "category_count": _LONG,
    "follower_count": _LONG,
    "number_users_joined": _LONG,
    "median_follower_count": pa.float64(),
    "run_id": _TEXT,
}
GOLD: Final[Mapping[str, tuple[str, ...]]] = {
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
"""The columns of the nine answers (docs/analytics.md)."""
POLICIES: Final = {"median": "exact", "ties": "all", "users": "persons"}
FIRST: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)


def write(
    folder: Path, types: Mapping[str, pa.DataType], rows: Iterable[Sequence[Any]], *, append: bool = False
) -> int:
    """One commit of these rows, in place of all or behind them; the version it made."""
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    filled = {name: pa.array(list(values), kind) for (name, kind), values in zip(types.items(), columns, strict=True)}
    folder.mkdir(parents=True, exist_ok=True)
    if append:
        write_deltalake(str(folder), pa.table(filled), mode="append")
    else:
        write_deltalake(str(folder), pa.table(filled), mode="overwrite")
    return int(DeltaTable(str(folder)).version())


def write_answers(
    root: Path,
    answers: Mapping[str, Sequence[Sequence[Any]]],
    number: int = 1,
    *,
    posts: int = 0,
    of: str | None = None,
) -> str:
    """A complete run, its tables of gold first and its row in ``runs`` last; the id of the run.

    ``answers``: rows of each table, without the run's id. ``of``: another id than the run's, in the rows.
    """
    run_id = f"run-{number}"
    versions = {}
    for name, rows in answers.items():
        types = {column: TYPES[column] for column in (*GOLD[name], "run_id")}
        versions[gold(name)] = write(root / gold(name), types, [(*row, of or run_id) for row in rows])
    write_run(root, run_id, number, versions, {"posts": posts})
    return run_id


def write_run(root: Path, run_id: str, number: int, versions: Mapping[str, int], records: Mapping[str, int]) -> None:
    """The row that makes a run complete; a higher ``number`` is newer."""
    at = FIRST + timedelta(minutes=number)
    types = {
        "run_id": _TEXT,
        "started_at": _AT,
        "finished_at": _AT,
        "policies": pa.map_(_TEXT, _TEXT),
        "versions": pa.map_(_TEXT, _LONG),
        "records": pa.map_(_TEXT, _LONG),
    }
    row = (
        run_id,
        at,
        at + timedelta(seconds=30),
        list(POLICIES.items()),
        list(versions.items()),
        list(records.items()),
    )
    write(root / RUNS, types, [row], append=True)
