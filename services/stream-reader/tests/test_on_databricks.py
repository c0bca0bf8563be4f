"""What the notebooks take from here has to be there without delta-rs, which Databricks does not have."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["deltalake"] = None
from spark_kit.session import make_alike
from stream_reader.queries.streams import KinesisStreams
from stream_reader.lake.tables import record_tables, register_views, rows_schema
print(*rows_schema("geo").names)
"""


def test_tables_and_streams_need_no_delta_rs() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "value"
