"""The tables as ``create_all`` makes them, by what Delta's log says."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, convert_to_deltalake
from pipeline_contracts.lake import POPULARITY, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Names
from pyspark.sql.types import StructType
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.tables import PROFILES, QUARANTINE_SCHEMA, create_all, rows_schema

NAMES = Names("made")
SCHEMAS = {stream_table(NAMES, kind): rows_schema(kind) for kind in KINDS} | {
    STREAM_QUARANTINE: QUARANTINE_SCHEMA,
    POPULARITY: PROFILES,
}


def test_every_table_has_spark_s_schema_and_needs_nothing_new_of_its_readers(tmp_path: Path) -> None:
    create_all(DeltaTables(tmp_path.as_uri()), NAMES)
    for table, schema in SCHEMAS.items():
        made = DeltaTable(tmp_path / table)
        assert StructType.fromJson(json.loads(made.schema().to_json())) == schema
        protocol = made.protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
        assert (protocol.reader_features, protocol.writer_features) == (None, None)
        properties = made.metadata().configuration
        assert properties["delta.checkpointInterval"] == "50"
        assert properties["delta.enableDeletionVectors"] == "false"
        skipped = table in {stream_table(NAMES, kind) for kind in KINDS}
        assert ("delta.dataSkippingStatsColumns" in properties) == skipped


def test_a_table_that_is_there_stays(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path.as_uri())
    create_all(tables, NAMES)
    before = {table: tables.id(table) for table in SCHEMAS}
    create_all(DeltaTables(tmp_path.as_uri()), NAMES)
    assert {table: (tables.id(table), tables.version(table)) for table in SCHEMAS} == {
        table: (id_, 0) for table, id_ in before.items()
    }


def test_times_of_every_century_in_the_form_that_spark_wrote_once(tmp_path: Path) -> None:
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, 3, 4, 5, 678901, UTC)]
    written = pa.table({"at": pa.array(times, pa.timestamp("us", "UTC"))})
    (tmp_path / "t").mkdir()
    pq.write_table(written, tmp_path / "t" / "part.parquet", use_deprecated_int96_timestamps=True)
    convert_to_deltalake(tmp_path / "t")
    (read,) = DeltaTables(tmp_path.as_uri()).read("t", ["at"])
    assert read["at"].to_pylist() == times
