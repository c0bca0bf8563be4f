"""Every table equals the recomputation in plain SQL on the raw files, for every policy."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import recompute
from pipeline_contracts import lake
from pipeline_contracts.names import KINDS
from pipeline_transforms.ages import AGE_GROUPS, age_group, age_group_of
from pipeline_transforms.answers import ANSWERS, COUNTS, Policies, Posts, posts_of
from pipeline_transforms.cleaning import clean, good_rows
from pipeline_transforms.hashing import with_content_hash
from pipeline_transforms.versions import current_rows, fates
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn

pytestmark = pytest.mark.spark
SAMPLE = Path(__file__).parents[3].parent / "shared" / "data" / "pinterest-sample"
TABLES = {**ANSWERS, **COUNTS}
MEDIANS = [name for name in TABLES if name.startswith("median")]
YEARS = ["most_popular_category_by_year", "most_popular_category_by_year_counts"]
SEED = 25
# A switch and the tables that it may change; the default goes over all of them.
SWITCHES: list[tuple[Policies, list[str]]] = [
    (Policies(), list(TABLES)),
    (Policies(ties="first"), [*ANSWERS][:5]),
    (Policies(median="lower"), MEDIANS),
    (Policies(users="posts"), ["users_joined_by_year"]),
    (Policies(from_year=2018, to_year=2020), YEARS),
]


def test_answers_are_those_that_readers_know() -> None:
    assert [*ANSWERS] == [*lake.ANSWERS]


def records(spark: SparkSession, file: Path) -> DataFrame:
    rows = [(number, line) for number, line in enumerate(file.read_text().splitlines()) if line]
    frame = spark.createDataFrame(
        [("log", 0, *row) for row in rows], "log_id string, partition int, offset long, value string"
    )
    return with_content_hash(frame.withColumn("recorded_at", fn.timestamp_seconds("offset")))


class Case:
    """One data set through the pipeline's functions."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.folder = folder
        self.cleaned = {kind: clean(records(spark, folder / f"{kind}.jsonl"), kind).cache() for kind in KINDS}
        self.good = {kind: good_rows(self.cleaned[kind], kind) for kind in KINDS}
        data = posts_of(**{kind: current_rows(self.good[kind]) for kind in KINDS})
        # One partition, as the analyser has of few: what is shuffled is judged by the demo of 100,000 events.
        self.data = Posts(data.posts.coalesce(1).cache(), data.users.coalesce(1).cache())

    def table(self, name: str, policies: Policies) -> list[dict[str, Any]]:
        return [row.asDict() for row in TABLES[name](self.data, policies).collect()]

    def fates(self) -> dict[str, dict[str, int]]:
        counted: dict[str, dict[str, int]] = {}
        for kind in KINDS:
            by_fate = {row["fate"]: row["count"] for row in fates(self.good[kind]).groupBy("fate").count().collect()}
            bad = self.cleaned[kind].where("reason IS NOT NULL").count()
            names = ("current", "superseded", "repeated")
            counted[kind] = {name: by_fate.get(name, 0) for name in names} | {"quarantined": bad}
        return counted


@pytest.fixture(scope="module")
def made_up(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("made-up")
    write_made_up(folder)
    return Case(spark, folder)


@pytest.fixture(scope="module")
def sample(spark: SparkSession) -> Case:
    if not SAMPLE.is_dir():
        pytest.skip(f"no sample at {SAMPLE}")
    return Case(spark, SAMPLE)


@pytest.fixture(params=["made_up", "sample"])
def case(request: pytest.FixtureRequest) -> Case:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Case)
    return found


@pytest.mark.parametrize(
    ("policies", "names"), SWITCHES, ids=lambda value: str(value) if isinstance(value, Policies) else ""
)
def test_tables_equal_the_recomputation(case: Case, policies: Policies, names: list[str]) -> None:
    expected = recompute.recompute(case.folder, policies)
    assert list(expected) == list(TABLES)
    for name in names:
        assert case.table(name, policies) == expected[name], name


def test_switches_matter_in_the_made_up_data(made_up: Case) -> None:
    """Else the test above could not see one that does nothing."""
    default = recompute.recompute(made_up.folder)
    for policies, names in SWITCHES[1:]:
        other = recompute.recompute(made_up.folder, policies)
        assert [name for name in TABLES if other[name] != default[name]] == [name for name in TABLES if name in names]


def test_fates_equal_the_recomputation(made_up: Case) -> None:
    found = made_up.fates()
    assert found == recompute.fates(made_up.folder)
    assert all(count > 0 for kind in found.values() for count in kind.values())


def test_fates_of_the_sample(sample: Case) -> None:
    expected = {kind: {"current": 877, "superseded": 0, "repeated": 449, "quarantined": 0} for kind in KINDS}
    expected["user"] |= {"repeated": 448, "quarantined": 4}
    assert sample.fates() == expected
    reasons = sample.cleaned["user"].where("reason IS NOT NULL").select("reason").distinct().collect()
    assert [row["reason"] for row in reasons] == ["wrong_kind"]


def test_types(made_up: Case) -> None:
    for name, answer in TABLES.items():
        types = dict(answer(made_up.data, Policies()).dtypes)
        measure = list(types)[-1]
        assert types.pop(measure) == ("double" if name in MEDIANS else "bigint")
        assert types == {column: "int" if column == "post_year" else "string" for column in types}


def write_made_up(folder: Path) -> None:
    """120 posts with few values each, so that ties, even groups, nulls, repeats, versions and bad rows all occur."""
    chance = random.Random(SEED)
    joined = ["2015-12-31T23:30:00-01:00", "2015-01-01 00:00:00", "2017-05-05T00:00:00.5"]
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for ind in range(120):
        rows["pin"].append(
            {
                "index": ind,
                "unique_id": f"id {ind}",
                "title": chance.choice(["a", "No Title Data Available", " b\u00a0"]),
                "description": chance.choice(["Untitled", "d"]),
                "poster_name": chance.choice(["Zoë", "Änne", "User Info Error", "A/B 🎄", "b"]),
                "follower_count": chance.choice(["User Info Error", "0", "17", "1.5k", "2k", "2M", "40"]),
                "tag_list": "t",
                "is_image_or_video": "image",
                "image_src": "Image src error.",
                "downloaded": 1,
                "save_location": "Local save in /data/art",
                "category": chance.choice(["art", "Art", "élan", "quotes", ""]),
            }
        )
        rows["geo"].append(
            {
                chance.choice(["ind", "index"]): ind,
                "timestamp": f"{chance.randrange(2017, 2022)}:03:04 05:06:07",
                "latitude": chance.choice([1, 2.5]),
                "longitude": 3,
                "country": chance.choice(["Chad", "Åland", "Zaire", " ", "chad"]),
            }
        )
        rows["user"].append(
            {
                "ind": ind,
                "first_name": chance.choice(["A", "B"]),
                "last_name": "C",
                "age": chance.choice([17, 18, 24, 25, 35, 36, 50, 51, None]),
                "date_joined": chance.choice(joined),
            }
        )
    for kind in KINDS:
        again = chance.choices(rows[kind], k=20)  # repeats
        rows[kind] += again + [changed(kind, row) for row in again[:10]]
        rows[kind] += again[:3] + chance.choices(rows["geo" if kind != "geo" else "user"], k=2)  # A, B, A; wrong kind
    rows["pin"] += [{**rows["pin"][0], "follower_count": "many"}, {**rows["pin"][1], "index": "x"}]
    rows["geo"] += [{**rows["geo"][0], "latitude": 91}, {**rows["geo"][1], "timestamp": "yesterday"}]
    rows["user"] += [{**rows["user"][0], "age": 131}, {**rows["user"][1], "date_joined": "2101-01-01 00:00:00"}]
    rows["geo"] = [row for row in rows["geo"] if row.get("ind") != 119]  # posts that are not whole
    rows["user"] = [row for row in rows["user"] if row.get("ind") != 118]
    for kind in KINDS:
        lines = [json.dumps(row, ensure_ascii=chance.random() < 0.5) + "\n" for row in rows[kind]]
        (folder / f"{kind}.jsonl").write_text("".join(lines))


def changed(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    new: dict[str, dict[str, Any]] = {"pin": {"category": "quotes"}, "geo": {"country": "Peru"}, "user": {"age": 77}}
    return {**row, **new[kind]}


def test_the_age_groups_of_columns_and_of_numbers_are_the_same(spark: SparkSession) -> None:
    ages = [None, *range(131)]
    rows = spark.createDataFrame([(age,) for age in ages], "age int").select(age_group(fn.col("age")).alias("group"))
    assert [row["group"] for row in rows.collect()] == [age_group_of(age) for age in ages]
    limits = {17: "under 18", 18: "18-24", 24: "18-24", 25: "25-35", 35: "25-35", 36: "36-50", 50: "36-50", 51: "+50"}
    assert {age: age_group_of(age) for age in limits} == limits
    assert set(AGE_GROUPS) == set(limits.values())
