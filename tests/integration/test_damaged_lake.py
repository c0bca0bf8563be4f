"""Tables that cannot be read any more: each command says which in one line, with what to do, and exit code 3."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from pipeline_contracts.lake import ANSWERS, EVENTS, QUARANTINE, RUNS, gold, silver
from pipeline_contracts.names import Names
from pipeline_local.audit.fates import Acknowledged, Stages, audit
from pipeline_local.cli import main
from pipeline_local.lake import DamagedLakeError, Lake

MAPS = {"policies": pa.map_(pa.string(), pa.string()), "versions": pa.map_(pa.string(), pa.int64())}
ANSWER = gold(next(iter(ANSWERS)))


def half_the_log(table: Path) -> None:
    newest = max((table / "_delta_log").glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:100])


def no_log(table: Path) -> None:
    for file in (table / "_delta_log").glob("*.json"):
        file.write_bytes(b"")


def no_newest_commit(table: Path) -> None:
    max((table / "_delta_log").glob("*.json")).write_bytes(b"")


def half_a_file(table: Path) -> None:
    for file in table.glob("*.parquet"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def noise_in_a_file(table: Path) -> None:
    for file in table.glob("*.parquet"):
        body = bytearray(file.read_bytes())
        size = len(body) - 8 - int.from_bytes(body[-8:-4], "little")  # of all that is not the footer
        body[4:size] = bytes(size - 4)
        file.write_bytes(body)


def no_file(table: Path) -> None:
    for file in table.glob("*.parquet"):
        file.unlink()


DAMAGES = [half_the_log, no_log, half_a_file, noise_in_a_file, no_file]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Answers of one run, and what else the commands read."""
    folder = tmp_path / "lake"
    versions = [(gold(name), 1) for name in ANSWERS]
    row = {"run_id": "r", "finished_at": datetime(2026, 1, 1, tzinfo=UTC), "policies": [], "versions": versions}
    schema = pa.schema({"run_id": pa.string(), "finished_at": pa.timestamp("us", "UTC"), **MAPS})
    write_deltalake(folder / RUNS, pa.Table.from_pylist([row], schema=schema))
    for name in ANSWERS:
        for run in ("before", "r"):
            rows = pa.table({"country": ["Chad"], "run_id": [run]})
            write_deltalake(folder / gold(name), rows, mode="overwrite")
    place = {"topic": ["pinterest.pin"], "log_id": ["L"], "partition": [0], "offset": [1]}
    write_deltalake(folder / QUARANTINE, pa.table({"source": ["record"], "reason": ["not_json"], **place}))
    superseded = pa.array([[]], pa.list_(pa.struct([(name, pa.string()) for name in (*place, "content_hash", "ind")])))
    columns = {**place, "content_hash": ["h"], "ind": [1], "superseded": superseded}
    write_deltalake(folder / silver("pin"), pa.table(columns))
    write_deltalake(folder / EVENTS, pa.table({**place, "content_hash": ["h"], "ingest_batch": [1]}))
    return folder


def said(lake: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments, env={"PIPELINE_HOME": str(lake.parent)})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("damage", [*DAMAGES, no_newest_commit])
def test_answers(lake: Path, damage: Callable[[Path], None]) -> None:
    assert said(lake, "answers", "--format", "json")[0] == 0
    damage(lake / ANSWER)
    code, output = said(lake, "answers")
    assert code == 3
    assert output.startswith(f"Error: the table {ANSWER} is damaged (")
    assert output.endswith("; the next analysis computes it anew\n")
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_table_of_runs(lake: Path, damage: Callable[[Path], None]) -> None:
    damage(lake / RUNS)
    code, output = said(lake, "answers")
    assert (code, len(output.splitlines())) == (3, 1)
    assert "move the folder runs out of the lake: analyse computes the answers anew" in output


@pytest.mark.parametrize("damage", DAMAGES)
def test_quarantine_and_query(lake: Path, damage: Callable[[Path], None]) -> None:
    damage(lake / QUARANTINE)
    for arguments in (["quarantine"], ["query", "select * from quarantine_batch"]):
        code, output = said(lake, *arguments)
        assert (code, len(output.splitlines())) == (3, 1), output
        assert f"the table {QUARANTINE} is damaged" in output


def test_a_query_that_is_wrong_blames_no_table(lake: Path) -> None:
    code, output = said(lake, "query", "select nothing from nowhere")
    assert (code, "damaged" in output) == (1, False)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", [EVENTS, silver("pin"), QUARANTINE])
def test_the_audit(lake: Path, table: str, damage: Callable[[Path], None]) -> None:
    """Exit code 1 would say that records are missing."""
    damage(lake / table)
    opened = Lake(lake)
    with pytest.raises(DamagedLakeError, match=f"the table {table} is damaged") as caught, opened.named_damage():
        audit(Names("pinterest"), opened, Stages([], [], set(), Acknowledged.empty_table(), []))
    assert "\n" not in str(caught.value)
    assert "out of the lake" in str(caught.value)
