"""Each service's own image against real Kafka and LocalStack containers; in the order in which events flow."""

import gzip
import io
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import boto3
import docker.errors
import pytest
from confluent_kafka import Consumer, TopicPartition
from pipeline_contracts.lake import ANSWERS
from pipeline_contracts.names import KINDS, Kind, Names
from pipeline_contracts.objects import topic_prefix
from pipeline_local.analyser_client import AnalyserClient
from pipeline_local.audit.stages import KafkaStage, ObjectStage
from pipeline_local.lake import Lake
from recompute import recompute
from service_containers import PIPELINE_ID, Cluster, ServiceContainer
from waiting import wait_until

NAMES = Names(PIPELINE_ID)
TOPICS = list(NAMES.topics)


def lines(raw: Path, kind: Kind) -> Counter[bytes]:
    return Counter((raw / f"{kind}.jsonl").read_bytes().splitlines())


def in_kafka(cluster: Cluster, topic: str) -> Counter[bytes]:
    """Every value of a topic."""
    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap_servers, "group.id": "test", "auto.offset.reset": "error"}
    )
    try:
        logs = KafkaStage(cluster.bootstrap_servers).watermarks([topic])
        consumer.assign([TopicPartition(topic, log.partition, log.low) for log in logs])
        left = sum(log.high - log.low for log in logs)
        values: Counter[bytes] = Counter()
        while left and (messages := consumer.consume(left, timeout=10)):
            values.update(bytes(message.value() or b"") for message in messages)
            left -= len(messages)
        assert left == 0
        return values
    finally:
        consumer.close()


def aws(cluster: Cluster, name: Literal["kinesis", "s3"]) -> Any:
    return boto3.client(name, endpoint_url=cluster["localstack"].url, region_name="us-east-1")


def covered(cluster: Cluster) -> int:
    """How many offsets the objects cover; no two cover one."""
    bucket = ObjectStage.connect(cluster["localstack"].url, "us-east-1", NAMES.bucket, "test", "test")
    ranges = bucket.covered(TOPICS)
    offsets = [(one.topic, one.partition, offset) for one in ranges for offset in range(one.first, one.next)]
    assert len(offsets) == len(set(offsets))
    return len(offsets)


def stored(cluster: Cluster) -> int:
    return sum(log.high for log in KafkaStage(cluster.bootstrap_servers).watermarks(TOPICS))


def await_archived(cluster: Cluster) -> None:
    wait_until("all records in objects", lambda: covered(cluster) == stored(cluster), 60)


@pytest.fixture(scope="module")
def sent(cluster: Cluster, raw: Path) -> dict[str, Any]:
    """The summary of one run of the emitter, down both paths."""
    emitter = cluster.emitter("--source", "/raw", "--path", "both", "--format", "json", raw=raw)
    assert emitter.inner.wait(timeout=120)["StatusCode"] == 0, emitter.logs()
    summary: dict[str, Any] = json.loads(emitter.inner.logs(stderr=False))
    return summary


@pytest.mark.parametrize("kind", KINDS)
def test_emitter_gateway_proxy_kafka(kind: Kind, cluster: Cluster, sent: dict[str, Any], raw: Path) -> None:
    assert sent["paths"]["batch"]["acknowledged"] == sum(sent["sent"].values())
    assert in_kafka(cluster, NAMES.topic(kind)) == lines(raw, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_emitter_gateway_kinesis(kind: Kind, cluster: Cluster, sent: dict[str, Any], raw: Path) -> None:
    kinesis = aws(cluster, "kinesis")
    found: list[Any] = []
    stream = NAMES.stream(kind)
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        start = {"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        page = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**start)["ShardIterator"])
        while page["Records"]:
            found += [json.loads(record["Data"]) for record in page["Records"]]
            page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
    wanted = [json.loads(line) for line in lines(raw, kind).elements()]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_kafka_sink_s3(kind: Kind, cluster: Cluster, sent: dict[str, Any], raw: Path) -> None:
    cluster["s3-sink"]
    await_archived(cluster)
    s3 = aws(cluster, "s3")
    listed = s3.list_objects_v2(Bucket=NAMES.bucket, Prefix=topic_prefix(NAMES.topic(kind)))["Contents"]
    found: Counter[str] = Counter()
    for entry in listed:
        body = gzip.decompress(s3.get_object(Bucket=NAMES.bucket, Key=entry["Key"])["Body"].read())
        found.update(json.dumps(json.loads(line)["value"]) for line in body.splitlines())
    assert found == Counter(json.dumps(json.loads(line)) for line in lines(raw, kind).elements())


def copied(service: ServiceContainer, folder: Path, names: list[str]) -> Lake:
    """A lake of those named tables that are there, copied out of a container as they are now."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        try:
            parts, _ = service.inner.get_archive(f"/var/lib/pipeline/lake/{name}")
        except docker.errors.NotFound:
            continue
        with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
            archive.extractall((folder / name).parent, filter="data")
    return Lake(folder)


def test_s3_analyser_delta(cluster: Cluster, sent: dict[str, Any], raw: Path, tmp_path: Path) -> None:
    cluster["s3-sink"]
    await_archived(cluster)
    analyser = cluster["analyser"]
    client = AnalyserClient(analyser.url, cluster.secret("ANALYSER_TOKEN"))
    client.run(NAMES.job("batch"), {}, only=["ingest", "clean", "answers"])
    lake = copied(analyser, tmp_path, ["bronze/events", *(f"gold/{name}" for name in ANSWERS)])
    assert len(lake.rows("bronze/events")) == sum(sent["sent"].values())
    expected = recompute(raw)
    for name in ANSWERS:
        rows = lake.rows(f"gold/{name}")
        rows = [{column: value for column, value in row.items() if column != "run_id"} for row in rows]
        assert sorted(map(repr, rows)) == sorted(map(repr, expected[name])), name


def test_kinesis_reader_delta(cluster: Cluster, sent: dict[str, Any], tmp_path: Path) -> None:
    reader = cluster["stream-reader"]
    tables = [*(f"stream/{PIPELINE_ID}_{kind}_table" for kind in KINDS), "quarantine/stream"]

    def arrived() -> bool:
        lake = copied(reader, tmp_path, tables)
        return bool(sum(len(lake.rows(table)) for table in tables) == sum(sent["sent"].values()))

    wait_until("all events in the stream's tables", arrived, 120, poll_s=2)


def test_localstack_has_its_door(cluster: Cluster) -> None:
    localstack = cluster["localstack"]
    assert localstack.status_of("/_localstack/health") == 200
    assert localstack.status_of("/") == 403
    assert localstack.status_of("/apikeys?includeValues=true") == 403


@pytest.mark.parametrize(
    ("dependency", "dependents"),
    [("kafka", ["proxy", "s3-sink", "mirror"]), ("localstack", ["s3-sink", "mirror", "analyser", "stream-reader"])],
)
def test_unready_while_a_dependency_hangs(dependency: str, dependents: list[str], cluster: Cluster) -> None:
    services, hung = [cluster[name] for name in dependents], cluster[dependency]
    hung.inner.pause()
    try:
        for service in services:
            service.await_status("/readyz", 503)
            assert service.status_of("/livez") == 200, service.name
    finally:
        hung.inner.unpause()
    for service in services:
        service.await_status("/readyz", 200)


def test_docker_sees_an_unready_service(cluster: Cluster) -> None:
    """Three minutes of this and it is unhealthy; so long, ``docker compose up`` can bring back what is missing."""
    proxy, kafka = cluster["proxy"], cluster["kafka"]
    kafka.inner.pause()
    try:
        wait_until("a failed check of the proxy", lambda: proxy.failed_checks > 0, 40)
        assert proxy.health == "healthy"
    finally:
        kafka.inner.unpause()
    wait_until("a good check of the proxy", lambda: proxy.failed_checks == 0, 40)


def test_sigterm_drains_emitter_proxy_and_sink(cluster: Cluster, raw: Path) -> None:
    """Ended in order in the middle of a run, and started again, they have stored each record exactly once."""
    sink, proxy = cluster["s3-sink"], cluster["proxy"]
    before, ledger = stored(cluster), cluster.volume()
    slowly = ("--source", "/raw", "--rate", "60", "--lanes", "1", "--batch-size", "10")
    emitter = cluster.emitter(*slowly, raw=raw, ledger=ledger)
    await_stored(cluster, before + 60)
    assert emitter.stop() == 3, emitter.logs()
    assert 0 < stored(cluster) - before < 600
    again = cluster.emitter(*slowly, raw=raw, ledger=ledger)
    await_stored(cluster, stored(cluster) + 30)
    assert proxy.stop() == 0, proxy.logs()
    assert '"stopped"' in proxy.logs()
    proxy.start()
    await_stored(cluster, stored(cluster) + 30)
    assert sink.stop() == 0, sink.logs()
    sink.start()
    assert again.inner.wait(timeout=120)["StatusCode"] == 0, again.logs()
    assert stored(cluster) - before == 600
    await_archived(cluster)


def test_sigterm_ends_mirror_analyser_and_reader(cluster: Cluster) -> None:
    for service in (cluster["mirror"], cluster["analyser"], cluster["stream-reader"]):
        assert service.stop() == 0, service.logs()
        service.start()


def test_the_dashboard_serves_without_any_other_service(cluster: Cluster) -> None:
    dashboard = cluster["dashboard"]
    assert (dashboard.status_of("/"), dashboard.status_of("/readyz")) == (200, 200)
    assert dashboard.stop() == 0, dashboard.logs()
    dashboard.start()


@pytest.mark.parametrize("name", ["dashboard", "mirror", "proxy", "s3-sink", "analyser", "stream-reader"])
def test_logs_are_json_lines(name: str, cluster: Cluster, sent: dict[str, Any]) -> None:
    lines = cluster[name].logs().splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("{")] == []
    entries = [json.loads(line) for line in lines]
    assert all({"time", "level", "service", "event"} <= set(entry) for entry in entries)
    assert {entry["service"] for entry in entries} == {name}


def await_stored(cluster: Cluster, records: int) -> None:
    wait_until(f"{records} records in Kafka", lambda: stored(cluster) >= records, 60)
