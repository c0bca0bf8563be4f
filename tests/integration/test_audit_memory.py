"""What is too much for the memory of an audit goes to a folder on disk, and nothing of it stays there."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipeline_contracts.names import Names
from pipeline_local import database
from pipeline_local.audit.fates import Acknowledged, Stages, audit
from pipeline_local.audit.stages import LogPartition
from pipeline_local.lake import Lake

RECORDS = 200_000


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MEMORY", "64MiB")


def bronze(topic: str) -> pa.Table:
    with duckdb.connect() as connection:
        return connection.sql(
            'select $topic as topic, \'L\' as log_id, 0::bigint as "partition", i as "offset", '
            "sha256(i::text) as content_hash, 1::bigint as ingest_batch from range($records) one(i)",
            params={"topic": topic, "records": RECORDS},
        ).to_arrow_table()


@pytest.mark.usefixtures("little_memory")
def test_more_records_than_fit_into_memory_are_accounted_for(tmp_path: Path) -> None:
    topic = next(iter(Names().topics))
    records = bronze(topic)
    write_deltalake(tmp_path / "lake" / "bronze/events", records, partition_by=["topic"])
    acknowledged = records.select(Acknowledged.names).cast(Acknowledged)
    logs = [LogPartition(topic, "L", 0, 0, RECORDS)]
    stages = Stages(logs, [], set(), acknowledged, logs)
    (row,) = audit(Names(), Lake(tmp_path / "lake"), stages)
    assert (row.acknowledged, row.in_bronze, row.in_flight) == (RECORDS, RECORDS, RECORDS)
    assert (row.missing, row.doubled, row.altered) == ([], [], [])
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.usefixtures("little_memory")
def test_the_memory_is_bounded_and_the_rest_lies_in_the_folder(tmp_path: Path) -> None:
    with database.opened(tmp_path / "scratch") as connection:
        connection.execute("create table much as select sha256(i::text) as hash from range(2000000) one(i)")
        (folder,) = (tmp_path / "scratch").iterdir()
        assert list(folder.iterdir())
        assert connection.execute("select count(*) from much").fetchone() == (2_000_000,)
    assert not folder.exists()


def test_what_a_killed_process_left_is_deleted_when_nobody_is_at_work(tmp_path: Path) -> None:
    left = tmp_path / "tmp-of-the-dead"
    with database.opened(tmp_path):
        left.mkdir()
        with database.opened(tmp_path):
            assert left.exists()
    with database.opened(tmp_path):
        assert not left.exists()
