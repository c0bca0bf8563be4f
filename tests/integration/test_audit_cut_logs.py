"""What the audit says of logs that lost records: a real broker, objects and tables by hand."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pipeline_contracts.audits import AuditRow
from pipeline_contracts.names import Names
from pipeline_local.audit.fates import Acknowledged, Stages, audit
from pipeline_local.audit.report import Audit
from pipeline_local.audit.stages import CoveredRange, KafkaStage, LogPartition
from pipeline_local.lake import Lake
from servers import Kafka, make_topics

TOPIC = Names().topic("geo")
RECORDS = 10
ARCHIVED = 6


@pytest.fixture
def broker(tmp_path: Path) -> Kafka:
    """A broker with the topic and ten records, of which objects hold six."""
    made = Kafka(tmp_path / "kafka")
    made.start()
    return made


def fill(broker: Kafka, records: int = RECORDS) -> LogPartition:
    make_topics(broker.bootstrap_servers, NewTopic(TOPIC, 1))
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(records):
        producer.produce(TOPIC, b'{"ind":%d}' % number, partition=0)
    assert producer.flush(20) == 0
    (log,) = KafkaStage(broker.bootstrap_servers).watermarks([TOPIC])
    assert log.high == records
    return log


def judged(broker: Kafka, lake: Path, first: LogPartition) -> tuple[int, dict[str, AuditRow]]:
    """The exit code, and the rows by log id; the objects and the ledger are of ``first``, the log as it was."""
    logs = KafkaStage(broker.bootstrap_servers).watermarks([TOPIC])
    covered = [CoveredRange(TOPIC, first.log_id, 0, 0, ARCHIVED, ARCHIVED, "o", "e")]
    said = [{"topic": TOPIC, "log_id": first.log_id, "partition": 0, "offset": RECORDS - 1, "content_hash": "x"}]
    acknowledged = pa.Table.from_pylist(said, schema=Acknowledged)
    found = Audit(audit(Names(), Lake(lake), Stages(logs, covered, set(), acknowledged, logs)))
    return found.exit_code, {row.log_id: row for row in found.rows}


def test_deleted_records_a_lost_disk_and_a_topic_made_anew_are_each_named(broker: Kafka, tmp_path: Path) -> None:
    try:
        first = fill(broker)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        exit_code, rows = judged(broker, tmp_path / "lake", first)
        assert (exit_code, rows[first.log_id].in_flight) == (4, RECORDS)

        # kafka-delete-records: two records that no object holds are gone.
        for deleted in admin.delete_records([TopicPartition(TOPIC, 0, ARCHIVED + 2)]).values():
            deleted.result(10)
        exit_code, rows = judged(broker, tmp_path / "lake", first)
        assert (exit_code, rows[first.log_id].lost, rows[first.log_id].cut) == (1, [[ARCHIVED, ARCHIVED + 1]], [])

        # The partition's files are lost: the broker begins at 0 again, under the same log id.
        broker.stop()
        shutil.rmtree(broker.folder / "data" / f"{TOPIC}-0")
        for checkpoint in (broker.folder / "data").glob("*-checkpoint"):
            checkpoint.unlink()
        broker.start()
        exit_code, rows = judged(broker, tmp_path / "lake", first)
        row = rows[first.log_id]
        assert (exit_code, row.cut, row.missing) == (1, [[0, RECORDS - 1]], [[RECORDS - 1, RECORDS - 1]])
        assert row.in_flight == ARCHIVED, "ingest reads the object yet"

        # The topic is deleted and made anew: nothing can be cut off any more, and what the old log held is still named.
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for future in admin.delete_topics([TOPIC]).values():
            future.result(20)
        again = fill(broker, 2)
        assert again.log_id != first.log_id
        exit_code, rows = judged(broker, tmp_path / "lake", first)
        old = rows[first.log_id]
        assert (exit_code, old.in_flight, old.missing, old.cut) == (1, ARCHIVED, [[RECORDS - 1, RECORDS - 1]], [])
        assert rows[again.log_id].in_flight == 2
    finally:
        broker.stop()
