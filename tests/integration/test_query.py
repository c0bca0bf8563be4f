"""`pipeline query` with pasted SQL: it reads the lake's tables, and nothing else of this machine."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipeline_local import database
from pipeline_local.lake import Lake

ROWS = 2_000_000
OUTSIDE = [
    "select * from read_text('{file}')",
    "select * from read_blob('{file}')",
    "select * from read_csv('{file}')",
    "select * from '{file}'",
    "select * from glob('{folder}/*')",
    "select * from parquet_metadata('{file}')",
    "copy silver_pin to '{folder}/new'",
    "export database '{folder}/new'",
    "import database '{folder}'",
    "attach '{folder}/new'",
    "attach 'http://127.0.0.1:9/x.db'",
    "install httpfs",
    "load httpfs",
    "load '{file}'",
    "create persistent secret s (type s3)",
    "set enable_external_access = true",
    "reset lock_configuration",
    "set temp_directory = '{folder}/new'",
    "set log_query_path = '{folder}/new'",
    "call enable_logging(storage = 'file', storage_config = {{'path': '{folder}/new'}})",
    "pragma enable_profiling; pragma profiling_output = '{folder}/new'",
    "select * from secret_of_this_process",
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    write_deltalake(tmp_path / "lake" / "silver" / "pin", pa.table({"ind": pa.array(range(ROWS), pa.int64())}))
    return Lake(tmp_path / "lake")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_nothing_outside_the_lake_is_read_or_written(lake: Lake, tmp_path: Path, home: Path) -> None:
    secret_of_this_process = pa.table({"a": ["secret"]})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    with lake.connect() as connection:
        for sql in OUTSIDE:
            with pytest.raises(duckdb.Error) as refused:
                print(sql, connection.execute(sql.format(file=outside / "file", folder=outside)).fetchall())  # noqa: T201
            assert "secret'" not in str(refused.value)
        assert connection.execute("select count(*) from silver_pin").fetchone() == (ROWS,)
    assert secret_of_this_process.num_rows == 1
    assert [file.name for file in outside.iterdir()] == ["file"]
    assert list(home.iterdir()) == []


def test_what_does_not_fit_into_memory_still_goes_to_the_folder(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MEMORY", "64MiB")
    with lake.connect() as connection:
        connection.execute("create table much as select sha256(ind::text) as hash from silver_pin")
        found = connection.execute("select count(*) from duckdb_temporary_files() where size > 0").fetchone()
        assert found is not None
        assert found[0] > 0
        assert connection.execute("select count(distinct hash) from much").fetchone() == (ROWS,)
