import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import convert_to_deltalake
from pipeline_local.lake import Lake


def test_a_damaged_table_that_was_renamed_stops_no_query(tmp_path: Path) -> None:
    """As the stream reader renames them."""
    pq.write_table(pa.table({"x": [1]}), tmp_path / "part.parquet")
    convert_to_deltalake(tmp_path)
    table = tmp_path / "lake" / "quarantine" / "stream"
    for name in ("stream", "stream.damaged-20260101T000000000000", "profile_popularity.damaged"):
        shutil.copytree(tmp_path, table.with_name(name), ignore=shutil.ignore_patterns("lake"))
    for log in table.parent.glob("*.damaged*/_delta_log/*.json"):
        log.write_bytes(bytes(300))
    with Lake(tmp_path / "lake").connect() as connection:
        assert connection.execute("select x from quarantine_stream").fetchall() == [(1,)]


def test_times_of_every_century_in_the_form_that_spark_wrote_once(tmp_path: Path) -> None:
    folder = tmp_path / "silver" / "user"
    folder.mkdir(parents=True)
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, 3, 4, 5, 678901, UTC)]
    written = pa.table({"date_joined": pa.array(times, pa.timestamp("us", "UTC"))})
    pq.write_table(written, folder / "part.parquet", use_deprecated_int96_timestamps=True)
    convert_to_deltalake(folder)
    assert [row["date_joined"] for row in Lake(tmp_path).rows("silver/user")] == times
    with Lake(tmp_path).connect() as connection:
        assert connection.execute("select year(date_joined) from silver_user").fetchall() == [(1,), (2020,)]
