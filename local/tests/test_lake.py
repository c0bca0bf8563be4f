from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import convert_to_deltalake
from pipeline_local.lake import Lake


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
