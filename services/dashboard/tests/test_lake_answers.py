import dataclasses
import math
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from dashboard.lake import answers, runs
from dashboard.lake.answers import Answer
from dashboard.lake.reader import At, DamagedTableError, LakeError, LakeReader, MissingTableError
from delta_tables import GOLD, TYPES, write, write_answers, write_run
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts.lake import ANSWERS, RUNS, gold

NAMES = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["=1+1", "'; DROP", 'a"b', "evil\u202e"])
VALUES = {
    "country": NAMES,
    "category": NAMES,
    "poster_name": NAMES,
    "age_group": st.sampled_from(["under 18", "18-24", "25-35", "36-50", "+50"]),
    "post_year": st.integers(1, 2100),
    "category_count": st.integers(1, 2**62),
    "follower_count": st.integers(0, 2**62),
    "number_users_joined": st.integers(1, 2**62),
    "median_follower_count": st.floats(0, 1e15),
}
MEASURES = {"category_count", "follower_count", "number_users_joined", "median_follower_count"}


def rows_of(name: str) -> st.SearchStrategy[list[tuple[object, ...]]]:
    columns = GOLD[name]
    keys = [place for place, column in enumerate(columns) if column not in MEASURES]
    return st.lists(
        st.tuples(*(VALUES[column] for column in columns)),
        max_size=8,
        unique_by=lambda row: tuple(row[place] for place in keys),
    )


GENERATED = st.fixed_dictionaries({name: rows_of(name) for name in ANSWERS})


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    write_answers(tmp_path, {name: [] for name in GOLD} | {"users_joined_by_year": [(2015, 3)]}, posts=9)
    return tmp_path


def read(root: Path) -> answers.Answers:
    reader = LakeReader(root.as_uri())
    return answers.read(reader, runs.newest(reader)[0])


def paged(reader: LakeReader, run: runs.Run, answer: Answer, most: int) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    after = None
    while rows := answers.page(reader, run, answer, after, most):
        assert len(rows) <= most
        found += [tuple(row.values()) for row in rows]
        after = [rows[-1][key] for key in answer.keys]
    return found


@given(GENERATED, st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_answers_are_the_rows_of_gold_in_the_documented_order_and_paging_gives_each_once(
    generated: dict[str, list[tuple[object, ...]]], most: int, kept: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_answers(Path(folder), generated)
        reader = LakeReader(Path(folder).as_uri())
        run = runs.newest(reader)[0]
        found = answers.read(reader, run)
        assert list(found.tables) == list(ANSWERS)
        for name, answer in found.tables.items():
            keys = [GOLD[name].index(key) for key in answer.keys]
            expected = sorted(
                generated[name],
                key=lambda row: [value.encode() if isinstance(value := row[key], str) else value for key in keys],
            )
            assert answer.columns == GOLD[name]
            assert [tuple(row.values()) for row in answer.rows] == expected
            assert answer.total == len(expected)
            assert paged(reader, run, answer, most) == expected
            # As of a table that is larger than what memory may hold: the same, by asking the lake.
            cut = dataclasses.replace(answer, rows=answer.rows[:kept])
            assert paged(reader, run, cut, most) == expected


def test_more_rows_than_memory_may_hold_are_counted_all_the_same(tmp_path: Path) -> None:
    many = [(f"country {number:05}", "art", 1) for number in range(answers.MOST_ROWS + 7)]
    write_answers(tmp_path, {name: [] for name in GOLD} | {"most_popular_category_by_country": many})
    answer = read(tmp_path).tables["most_popular_category_by_country"]
    assert (len(answer.rows), answer.total, answer.whole) == (answers.MOST_ROWS, answers.MOST_ROWS + 7, False)
    assert answer.rows[-1]["country"] == f"country {answers.MOST_ROWS - 1:05}"


@pytest.mark.parametrize(
    ("name", "row", "kind"),
    [
        ("users_joined_by_year", (None, 3), None),
        ("users_joined_by_year", (2015, None), None),
        ("most_popular_category_by_country", ("a", None, 1), None),
        ("median_followers_by_join_year", (2015, math.nan), None),
        ("median_followers_by_join_year", (2015, math.inf), None),
        ("most_popular_category_by_country", ("a", b"\xff", 1), ("category", pa.binary())),
        ("most_popular_category_by_country", ("a", "b", "many"), ("category_count", pa.string())),
    ],
)
def test_values_that_no_answer_has_are_damage(
    tmp_path: Path, name: str, row: tuple[object, ...], kind: tuple[str, pa.DataType] | None
) -> None:
    empty: dict[str, list[tuple[object, ...]]] = {name: [] for name in GOLD}
    write_answers(tmp_path, empty)
    types = {column: TYPES[column] for column in (*GOLD[name], "run_id")}
    shutil.rmtree(tmp_path / gold(name))
    write(tmp_path / gold(name), types | dict([kind] if kind else []), [(*row, "run-1")])
    with pytest.raises(DamagedTableError, match=r"holds a \w+ that is no answer's"):
        read(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"run_id": None}, {"run_id": 'a"b'}, {"run_id": "a\r\nb"}, {"started_at": None}, {"finished_at": None}]
)
def test_a_run_without_its_id_or_times_is_damage(lake: Path, wrong: dict[str, object]) -> None:
    known = DeltaTable(lake / RUNS).to_pyarrow_table()
    rows = [row | wrong for row in known.to_pylist()]
    write_deltalake(lake / RUNS, pa.Table.from_pylist(rows, schema=known.schema), mode="overwrite")
    with pytest.raises(DamagedTableError, match="runs"):
        read(lake)


def test_a_run_that_goes_on_is_not_seen(lake: Path) -> None:
    types = {column: TYPES[column] for column in (*GOLD["users_joined_by_year"], "run_id")}
    write(lake / gold("users_joined_by_year"), types, [(1999, 1, "run-2")])
    found = read(lake)
    assert [tuple(row.values()) for row in found.tables["users_joined_by_year"].rows] == [(2015, 3)]
    assert (found.run.run_id, found.run.posts) == ("run-1", 9)


def test_another_runs_rows_are_damage_even_behind_what_memory_holds(tmp_path: Path) -> None:
    name = "most_popular_category_by_country"
    empty: dict[str, list[tuple[object, ...]]] = {name: [] for name in GOLD}
    write_answers(tmp_path, empty | {"users_joined_by_year": [(2015, 3)]}, of="run-7")
    with pytest.raises(DamagedTableError, match=r"gold/users_joined_by_year is damaged \(version 0 holds another run"):
        read(tmp_path)

    types = {column: TYPES[column] for column in (*GOLD[name], "run_id")}
    rows = [(f"{number:05}", "art", 1, "run-2") for number in range(answers.MOST_ROWS + 5)]
    version = write(tmp_path / gold(name), types, [*rows, ("zzz", "art", 1, "run-1")])
    write_run(tmp_path, "run-2", 2, {gold(name): version}, {})
    with pytest.raises(DamagedTableError, match="another run's rows"):
        read(tmp_path)


@pytest.mark.parametrize("table", [RUNS, gold("users_joined_by_year")])
def test_a_table_that_lacks_a_column_is_damaged(lake: Path, table: str) -> None:
    log = next((lake / table / "_delta_log").glob("*.json"))
    column = "policies" if table == RUNS else "number_users_joined"
    log.write_text(log.read_text().replace(f'\\"name\\":\\"{column}\\"', '\\"name\\":\\"another\\"'))
    with pytest.raises(DamagedTableError, match=f"the table {table} is damaged .*{column}"):
        read(lake)


def test_an_answer_that_is_newer_than_the_run_is_named(lake: Path) -> None:
    write_run(lake, "run-2", 2, {gold("users_joined_by_year"): 0}, {})
    reader = LakeReader(lake.as_uri())
    run = dataclasses.replace(runs.newest(reader)[0], run_id="run-1")
    found = answers.read(reader, run)
    assert set(found.tables) == {"users_joined_by_year"}
    assert set(found.missing) == set(ANSWERS) - set(found.tables)


def test_the_newest_run_is_the_one_that_finished_last(lake: Path) -> None:
    for number in (5, 3, 4):
        write_run(lake, f"run-{number}", number, {}, {})
    for same in ("run-52", "run-51"):
        write_run(lake, same, 5, {}, {})
    found = [run.run_id for run in runs.newest(LakeReader(lake.as_uri()), 4)]
    assert found == ["run-52", "run-51", "run-5", "run-4"]


def damage_log(table: Path) -> None:
    log = next((table / "_delta_log").glob("*.json"))
    log.write_bytes(log.read_bytes()[:40])


def damage_data(table: Path) -> None:
    data = next(table.glob("*.parquet"))
    data.write_bytes(b"\0" * data.stat().st_size)


def cut_data(table: Path) -> None:
    data = next(table.glob("*.parquet"))
    data.write_bytes(data.read_bytes()[:-9])


def lose_data(table: Path) -> None:
    next(table.glob("*.parquet")).unlink()


def make_it_panic(table: Path) -> None:
    """A length that is no length: at it the engine panics instead of failing."""
    data = next(table.glob("*.parquet"))
    data.write_bytes(data.read_bytes()[:-8] + b"\xff\xff\xff\xff" + b"PAR1")


@pytest.mark.parametrize("harm", [damage_log, damage_data, cut_data, lose_data, make_it_panic])
@pytest.mark.parametrize("table", [RUNS, gold("users_joined_by_year")])
def test_a_damaged_table_is_named_with_its_remedy_and_read_again_once_it_is_well(
    lake: Path, table: str, harm: Callable[[Path], None]
) -> None:
    reader = LakeReader(lake.as_uri())
    whole = {file: file.read_bytes() for file in (lake / table).rglob("*") if file.is_file()}
    harm(lake / table)
    with pytest.raises(DamagedTableError, match=f"the table {table} is damaged .*; .*(analys|next)"):
        answers.read(reader, runs.newest(reader)[0])
    for file, content in whole.items():
        file.write_bytes(content)
    assert answers.read(reader, runs.newest(reader)[0]).run.run_id == "run-1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    write_answers(root, {"users_joined_by_year": [(year, year) for year in range(2000, 2020)]})
    return root


@given(st.integers(0, 3), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1))
@settings(max_examples=60, deadline=None)
def test_no_damage_of_a_file_gives_anything_but_an_answer_or_an_error_of_the_lake(
    whole: Path, number: int, changes: list[tuple[float, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        shutil.copytree(whole, root)
        file = sorted(file for file in root.rglob("*") if file.is_file())[number]
        content = bytearray(file.read_bytes())
        for place, byte in changes:
            content[int(place * len(content))] = byte
        file.write_bytes(content)
        with suppress(LakeError):
            if run := runs.newest(reader := LakeReader(root.as_uri())):
                answers.read(reader, run[0])


def test_a_lake_that_was_wiped_and_filled_again_is_another_lake(
    lake: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    reader = LakeReader(lake.as_uri())
    table = gold("users_joined_by_year")
    before = reader.state(table)
    for folder in (lake / "gold", lake / RUNS):
        folder.rename(tmp_path_factory.mktemp("gone") / folder.name)
    assert runs.newest(reader) == []
    assert reader.state(table) is None
    with pytest.raises(MissingTableError):
        reader.count(At(table))
    write_answers(lake, {name: [] for name in GOLD} | {"users_joined_by_year": [(2016, 4)]})
    after = reader.state(table)
    assert before is not None
    assert after is not None
    assert (before.version, before.id == after.id) == (after.version, False)
    assert read(lake).tables["users_joined_by_year"].rows[0]["number_users_joined"] == 4
    assert not (lake / "silver").exists(), "looking makes no folder"


def test_the_columns_are_those_of_the_documents() -> None:
    assert dict(answers.COLUMNS) == dict(GOLD)
    assert list(answers.COLUMNS) == list(ANSWERS)
