"""The lake read without Spark, in processes that end right after it, as the ``pipeline`` command does."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

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
