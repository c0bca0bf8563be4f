"""What other programs do in Kafka and in the bucket: through the sink and ingest's own reader to the audit."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from batch_analyser.objects.fetch import fetch_here, s3_client
from batch_analyser.objects.listing import Bucket, list_candidates
from batch_analyser.objects.rows import DEAD_LETTER, OBJECT, RECORD, Source
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from deltalake import write_deltalake
from pipeline_contracts import dead_letters
from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, silver
from pipeline_contracts.objects import ObjectName
from pipeline_local.audit.fates import Acknowledged, Stages, audit
from pipeline_local.audit.reach import ObjectReach
from pipeline_local.audit.report import Audit
from pipeline_local.audit.stages import KafkaStage, ObjectStage
from pipeline_local.flow import offsets_left, readable
from pipeline_local.lake import Lake
from raw_kafka import RawRecord, produce_raw, spoil
from servers import Kafka, LocalStack
from sink_deployment import Deployment
from waiting import wait_until

GOOD, POISON = b'{"n":1}', b'{"n":1},{"n":2}' + b" " * 4_096
TIMES = (2**63 - 1, -(2**63) + 5, 253_402_300_800_000, 1_700_000_000_007)


@pytest.fixture
def deployment(kafka: Kafka, localstack: LocalStack, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(kafka, localstack, tmp_path)
    made.create_topics()
    made.create_bucket()
    yield made
    made.end_sinks()


def transact(servers: str, topic: str, values: list[bytes], *, commit: bool) -> None:
    producer = Producer({"bootstrap.servers": servers, "transactional.id": f"{topic}-test"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(10) == 0
    if commit:
        producer.commit_transaction(10)
    else:
        producer.abort_transaction(10)


def take_senders_times(deployment: Deployment, topic: str) -> None:
    settings = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    deployment.admin.incremental_alter_configs([resource])[resource].result(10)


def ingest(deployment: Deployment, endpoint_url: str, lake: Path) -> None:
    """The analyser's listing and reader; its tables by hand: each content once in silver, letters in quarantine."""
    names = deployment.names
    client = s3_client(endpoint_url, "us-east-1", 8)
    found = list_candidates(
        Bucket(client, deployment.bucket), [*names.topics, names.dead_letter_topic], {}, all_keys=True
    )
    source = Source(endpoint_url, "us-east-1", deployment.bucket, names.dead_letter_topic, 4)
    table = fetch_here(source, found.candidates, 1_000_000_000)
    assert table is not None
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in (RECORD, OBJECT, DEAD_LETTER)}
    for row in table.to_pylist():
        rows.setdefault(row["what"], []).append(row)
    place = ("topic", "log_id", "partition", "offset", "content_hash")
    events = pa.Table.from_pylist([{name: row[name] for name in place} | {"ingest_batch": 1} for row in rows[RECORD]])
    write_deltalake(lake / EVENTS, events, partition_by=["topic"])
    for topic, kind in names.topics.items():
        first = {row["content_hash"]: row for row in reversed(rows[RECORD]) if row["topic"] == topic}
        settled = [{name: row[name] for name in place[1:]} | {"ind": ind} for ind, row in enumerate(first.values())]
        if settled:
            made = pa.Table.from_pylist(settled)
            empty = pa.array([[]] * made.num_rows, pa.list_(pa.struct(list(made.schema))))
            write_deltalake(lake / silver(kind), made.append_column("superseded", empty))
    letters = [{name: row[name] for name in place[:4]} | {"source": "dead_letter"} for row in rows[DEAD_LETTER]]
    write_deltalake(lake / QUARANTINE, pa.Table.from_pylist(letters))
    ledger = [{"object_key": row["object_key"], "etag": row["etag"]} for row in rows[OBJECT]]
    write_deltalake(lake / OBJECTS, pa.Table.from_pylist(ledger))


def test_each_record_of_other_programs_has_its_fate(
    deployment: Deployment, kafka: Kafka, localstack: LocalStack, tmp_path: Path
) -> None:
    servers, names = kafka.bootstrap_servers, deployment.names
    pin, geo, user = names.topic("pin"), names.topic("geo"), names.topic("user")
    sink = deployment.start()
    # pin: transactions; the last offset of the partition is a marker
    transact(servers, pin, [b'{"n":%d}' % number for number in range(3)], commit=True)
    transact(servers, pin, [b'{"aborted":1}'] * 2, commit=False)
    transact(servers, pin, [b'{"n":3}', POISON], commit=True)
    # geo: its senders' times, outside of every calendar
    take_senders_times(deployment, geo)
    produce_raw(servers, geo, 0, [RawRecord(b'{"n":%d}' % at, timestamp_ms=time) for at, time in enumerate(TIMES[3:])])
    for number, time in enumerate(TIMES[:3]):
        produce_raw(servers, geo, 1, [RawRecord(b'{"t":%d}' % number, timestamp_ms=time)])
    # user: headers whose keys are no text, on a good record and on poison; and in the dead-letter topic itself
    bad = [(b"\xff\xfe", b"x")]
    produce_raw(servers, user, 2, [RawRecord(GOOD, headers=bad), RawRecord(POISON, headers=bad), RawRecord(None)])
    produce_raw(servers, names.dead_letter_topic, 0, [RawRecord(b"\xff", headers=bad)])
    # geo, and the dead-letter topic: batches that unpack to more than the client takes, between records and at the end
    for number in range(2):
        spoil(servers, geo, 2, 3)
        produce_raw(servers, geo, 2, [RawRecord(b'{"s":%d}' % number)])
    spoil(servers, geo, 2, 3)
    spoil(servers, names.dead_letter_topic, 0, 2)
    # the bucket: while the sink runs
    for key in (f"topics/{pin}/partition=0/", f"topics/{pin}/partition=0/copy of x.jsonl.gz", f"topics/{geo}/y/z.json"):
        deployment.s3.put_object(Bucket=deployment.bucket, Key=key, Body=b"")
    foreign = gzip.compress(b'{"offset":722,"value":"foreign"}\n')
    deployment.s3.put_object(Bucket=deployment.bucket, Key=ObjectName(user, 2, 722).key, Body=foreign)

    stage = KafkaStage(servers)
    reach = ObjectReach(deployment.s3, deployment.bucket)

    def all_is_archived() -> bool:
        logs = [readable(log) for log in stage.watermarks([*names.topics, names.dead_letter_topic])]
        return offsets_left(logs, reach.reached(logs)) == 0

    wait_until("objects reach every end", all_is_archived)
    wait_until("nothing lags behind", lambda: deployment.metric(sink, "lag_records") == 0)
    wait_until("the sink is ready", lambda: deployment.ready(sink))
    assert f"timestamps of {geo} are set by senders" in deployment.said(sink)
    assert sink.poll() is None

    lines = deployment.lines(pin)[0]
    assert [(line["offset"], line["value"]["n"]) for line in lines] == [(0, 0), (1, 1), (2, 2), (7, 3)]
    assert [line["timestamp"] for line in deployment.lines(geo)[1]] == [None] * 3
    assert deployment.lines(geo)[0][0]["timestamp"] == "2023-11-14T22:13:20.007Z"
    assert [line["value"] for line in deployment.lines(user)[2]] == [{"n": 1}, None, "foreign"]
    letters = deployment.lines(names.dead_letter_topic)[0]
    assert len(letters) == 3 + 4
    keys = [{header["key"] for header in letter["headers"]} for letter in letters]
    assert sum(dead_letters.UNREADABLE_HEADERS in one for one in keys) == 2
    assert sum(dead_letters.OFFSET in one for one in keys) == 2 + 4
    assert sum(dead_letters.LAST_OFFSET in one for one in keys) == 4
    assert [line["offset"] for line in deployment.lines(geo)[2]] == [3, 7]

    # Before ingest has read anything, records are in flight and markers are nothing; afterwards all is at rest.
    assert counts(judged(deployment, stage, localstack, tmp_path / "empty"))["in_flight"] == 4 + 4 + 2 + 2
    ingest(deployment, localstack.endpoint_url, tmp_path / "lake")
    found = judged(deployment, stage, localstack, tmp_path / "lake")
    assert found.exit_code == 0, found.as_document()
    told = counts(found)
    # The third is the letter that is none of the sink's: it keeps its own place. Each batch has one.
    assert (told["current"], told["dead_lettered"], told["in_flight"], told["missing"]) == (4 + 4 + 2 + 2, 3 + 4, 0, 0)
    sink.terminate()
    assert sink.wait(20) == 0


def judged(deployment: Deployment, stage: KafkaStage, localstack: LocalStack, lake: Path) -> Audit:
    names = deployment.names
    bucket = ObjectStage.connect(localstack.endpoint_url, "us-east-1", deployment.bucket, "test", "test")
    (letters,) = stage.watermarks([names.dead_letter_topic])
    stages = Stages(
        stage.watermarks(list(names.topics)),
        bucket.covered(list(names.topics)),
        stage.dead_letters(letters),
        Acknowledged.empty_table(),
        stage.watermarks(list(names.topics)),
    )
    return Audit(audit(names, Lake(lake), stages))


def counts(found: Audit) -> dict[str, int]:
    """Sums over the logs of Kafka."""
    rows = [row for row in found.rows if not row.log_id.startswith(("s3:", "topic:"))]
    names = ("current", "dead_lettered", "in_flight", "in_log")
    return {name: sum(getattr(row, name) for row in rows) for name in names} | {
        "missing": sum(len(row.missing) for row in rows)
    }
