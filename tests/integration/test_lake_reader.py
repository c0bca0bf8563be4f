"""The lake read without Spark, in processes that end right after it, as the ``pipeline`` command does, for Spark."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest
from batch_analyser.lake import Lake
from deltalake import CommitProperties, DeltaTable, write_deltalake
from pipeline_contracts.lake import Cleaned, silver
from pyspark.sql import SparkSession
from spark_kit import on_disk
from spark_kit.on_disk import TableOnDisk
from spark_kit.tables import Condition, Size

PROCESSES = 8
READ = """
import sys
from pathlib import Path
from pipeline_local.lake import Lake
lake = Lake(Path(sys.argv[1]))
for _ in range(9):
    print(len(lake.rows("silver/pin")))
"""


def test_a_process_that_read_tables_ends_in_order(tmp_path: Path) -> None:
    # With a file system written in Python under Arrow's threads, every second such process aborted at its end.
    for _ in range(3):
        write_deltalake(tmp_path / "silver" / "pin", pa.table({"ind": [1, 2, 3]}), mode="append")
    for _ in range(PROCESSES):
        done = subprocess.run(
            [sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split() == ["9"] * 9


def test_rows_are_few_by_what_they_take_on_the_disk_and_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "an äöü folder"
    table = TableOnDisk(folder)
    write_deltalake(folder, pa.table({"text": ["x" * 1000] * 5000}))
    size = table.size()
    assert size == Size(1, next(folder.glob("*.parquet")).stat().st_size)
    monkeypatch.setattr(on_disk, "_FEW_FILE_BYTES", size.bytes)
    rows = table.few(None)
    assert rows is not None
    assert rows.num_rows == 5000

    monkeypatch.setattr(on_disk, "_FEW_BYTES", 4_000_000)  # packed to a few kB, they are 5 MB
    assert table.few(None) is None
    write_deltalake(folder, pa.table({"text": ["y"]}), mode="overwrite")
    rows = table.few(None)
    assert rows is not None
    assert rows.to_pylist() == [{"text": "y"}]
    assert table.few(0) is None
    monkeypatch.setattr(on_disk, "_FEW_FILE_BYTES", table.size().bytes - 1)
    assert table.few(None) is None


def test_files_that_hold_no_row_of_those_asked_for_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = TableOnDisk(tmp_path / "table")
    for number, topic in enumerate(("t pin", "t pin", "geo")):
        rows = pa.table({"topic": [topic] * 2, "batch": [number, number + 10], "text": ["é" * 1000] * 2})
        write_deltalake(table.folder, rows, mode="append", partition_by=["topic"])
    monkeypatch.setattr(on_disk, "_FEW_FILE_BYTES", table.size().bytes // 2)
    assert table.few(None) is None
    assert table.few(None, [("topic", "=", "t pin")]) is None
    asked: list[tuple[list[Condition], list[int]]] = [
        ([("topic", "=", "geo")], [2, 12]),
        ([("topic", "=", "t pin"), ("batch", ">", 10), ("batch", "<=", 11)], [11]),
        ([("topic", "=", "none")], []),
    ]
    for where, batches in asked:
        found = table.few(None, where)
        assert found is not None
        assert found["batch"].to_pylist() == batches


def test_an_optimize_beside_another_run_puts_no_mark_back(tmp_path: Path) -> None:
    """It repeats the note that it read when it began; where the log holds no other one, that is the mark."""
    folder = tmp_path / silver("pin")

    def write(note: Cleaned | None) -> None:
        properties = CommitProperties(custom_metadata={} if note is None else {"userMetadata": note.note})
        write_deltalake(folder, pa.table({"ind": [1]}), mode="append", commit_properties=properties)

    def optimize(note: Cleaned) -> None:
        properties = CommitProperties(custom_metadata={"userMetadata": note.note})
        DeltaTable(folder).optimize.compact(commit_properties=properties)

    lake = Lake(cast("SparkSession", None), tmp_path.as_uri())
    write(None)
    write(None)
    optimize(Cleaned(3, replaying=True))
    assert lake.cleaned("pin") == Cleaned(3, replaying=True)
    write(Cleaned(4))
    write(Cleaned(7, replaying=True))
    optimize(Cleaned(4))
    assert lake.cleaned("pin") == Cleaned(7, replaying=True)
