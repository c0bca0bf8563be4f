"""The mirror as a process, against a real Kafka and a LocalStack of its own that is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3
from aws_deploy.clients import Clients
from confluent_kafka.admin import AdminClient
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from servers import Kafka, LocalStack, free_port
from service_kit.retries import RetryPolicy, retry
from waiting import wait_until

HTTP = urllib3.PoolManager(retries=False, timeout=10)
EXIT_DEADLINE_S = 5


class Mirror:
    """``python -m aws_deploy.mirror`` with its own id; a context manager that ends it."""

    def __init__(self, folder: Path, endpoint_url: str, bootstrap_servers: str, **more: str) -> None:
        self.names = Names(f"mir-{uuid.uuid4().hex[:8]}")
        self.key = f"key-of-{self.names.pipeline_id}-0001"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "mirror.log"
        self._env = {
            **os.environ,
            "MIRROR_PORT": self.url.rpartition(":")[2],
            "MIRROR_CHECK_SECONDS": "0.3",
            "PIPELINE_ID": self.names.pipeline_id,
            "AWS_ENDPOINT_URL": endpoint_url,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "PROXY_URL": "http://127.0.0.1:1",
            "GATEWAY_API_KEY": self.key,
            **more,
        }

    def __enter__(self) -> "Mirror":
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "aws_deploy.mirror"], env=self._env, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.wait(10)

    def readyz(self) -> tuple[int, str]:
        try:
            answer = HTTP.request("GET", f"{self.url}/readyz")
        except urllib3.exceptions.HTTPError as error:
            return 0, str(error)
        return answer.status, answer.data.decode()

    def metric(self, line: str) -> float:
        text = HTTP.request("GET", f"{self.url}/metrics").data.decode()
        return next((float(row.split()[-1]) for row in text.splitlines() if row.startswith(line)), 0.0)

    def wait_ready(self, status: int = 200) -> str:
        def attempt() -> str:
            got, text = self.readyz()
            assert got == status, f"{got}: {text}\n{self.log.read_text()[-3000:]}"
            return text

        return retry(attempt, RetryPolicy(deadline_s=90, longest_wait_s=0.3), AssertionError)

    def seen_after(self, moment: float) -> bool:
        sides = ("localstack", "kafka")
        return all(self.metric(f'mirror_last_seen_timestamp_seconds{{side="{side}"}}') > moment for side in sides)

    def terminate(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(EXIT_DEADLINE_S)


@pytest.fixture
def own_localstack(tmp_path: Path) -> Iterator[LocalStack]:
    with LocalStack(tmp_path / "localstack") as server:
        yield server


def topics_of(kafka: Kafka, names: Names) -> set[str]:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    return {topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(f"{names.pipeline_id}.")}


def streams_status(endpoint_url: str, mirror: Mirror, key: str) -> int:
    url = f"{endpoint_url}/_aws/execute-api/{mirror.names.api_id}/dev/streams"
    return HTTP.request("GET", url, headers={"x-api-key": key}).status


def not_there(clients: Clients, stream: str) -> bool:
    """Whether it is gone, or recreated already: not the one that is being deleted."""
    try:
        summary = clients.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    except clients.kinesis.exceptions.ResourceNotFoundException:
        return True
    return summary["StreamStatus"] != "DELETING"


def records(clients: Clients, stream: str) -> list[bytes]:
    found = []
    for shard in clients.kinesis.list_shards(StreamName=stream)["Shards"]:
        iterator = clients.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while page := clients.kinesis.get_records(ShardIterator=iterator):
            if not page["Records"]:
                break
            found += [record["Data"] for record in page["Records"]]
            iterator = page["NextShardIterator"]
    return sorted(found)


def test_what_is_lost_comes_back(own_localstack: LocalStack, kafka: Kafka, tmp_path: Path) -> None:
    clients = Clients.on_localstack(own_localstack.endpoint_url, "us-east-1")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    with Mirror(tmp_path, own_localstack.endpoint_url, kafka.bootstrap_servers) as mirror:
        wanted_topics = {spec.name for spec in topic_specs(mirror.names)}
        mirror.wait_ready()
        assert topics_of(kafka, mirror.names) == wanted_topics
        assert streams_status(own_localstack.endpoint_url, mirror, mirror.key) == 200
        assert streams_status(own_localstack.endpoint_url, mirror, "wrong") == 403
        made = 'mirror_deployments_total{outcome="ok",side="localstack"}'
        assert mirror.metric(made) == 1
        assert mirror.metric('mirror_last_seen_timestamp_seconds{side="kafka"}') > time.time() - 30

        # One topic, one bucket and one stream are deleted behind its back.
        admin.delete_topics([mirror.names.topic("geo")])[mirror.names.topic("geo")].result(10)
        clients.s3.delete_bucket(Bucket=mirror.names.bucket)
        clients.kinesis.delete_stream(StreamName=mirror.names.stream("user"))
        wait_until("all is there again", lambda: mirror.metric(made) >= 2)
        mirror.wait_ready()
        wait_until("the topic is back", lambda: topics_of(kafka, mirror.names) == wanted_topics)
        clients.s3.head_bucket(Bucket=mirror.names.bucket)

        # LocalStack is killed with records in a stream, and comes back empty but for these.
        stream = mirror.names.stream("pin")
        batch = [{"Data": b"%04d" % number, "PartitionKey": str(number)} for number in range(500)]
        answer = clients.kinesis.put_records(StreamName=stream, Records=batch)  # type: ignore[arg-type]
        assert answer["FailedRecordCount"] == 0
        before = mirror.metric(made)
        own_localstack.kill()
        assert '"ok": false' in mirror.wait_ready(503)
        own_localstack.start()
        wait_until("it was deployed again", lambda: mirror.metric(made) > before, 90)
        mirror.wait_ready()
        clients.s3.head_bucket(Bucket=mirror.names.bucket)
        assert streams_status(own_localstack.endpoint_url, mirror, mirror.key) == 200
        assert records(clients, stream) == [record["Data"] for record in batch]
        assert mirror.terminate() == 0
    assert mirror.key not in mirror.log.read_text()


def test_streams_that_somebody_made_with_other_shards_are_kept(
    localstack: LocalStack, kafka: Kafka, tmp_path: Path
) -> None:
    """No stack can be made over them: the mirror would stay unready until LocalStack is restarted."""
    clients = Clients.on_localstack(localstack.endpoint_url, "us-east-1")
    mirror = Mirror(tmp_path, localstack.endpoint_url, kafka.bootstrap_servers)
    made = {mirror.names.stream("pin"): 1, mirror.names.stream("user"): 3}
    for stream, shards in made.items():
        clients.kinesis.create_stream(StreamName=stream, ShardCount=shards)
        clients.kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
        clients.kinesis.put_record(StreamName=stream, Data=b"kept", PartitionKey="1")
    with mirror:
        mirror.wait_ready()
        assert streams_status(localstack.endpoint_url, mirror, mirror.key) == 200
        assert [records(clients, stream) for stream in made] == [[b"kept"], [b"kept"]]
        assert records(clients, mirror.names.stream("geo")) == []
        # Deleted and recreated before the mirror looks, or after: it comes to rest either way.
        clients.kinesis.delete_stream(StreamName=mirror.names.stream("pin"))
        wait_until("it was deleted", lambda: not_there(clients, mirror.names.stream("pin")))
        with suppress(clients.kinesis.exceptions.ResourceInUseException):
            clients.kinesis.create_stream(StreamName=mirror.names.stream("pin"), ShardCount=1)
        now = time.time()
        wait_until("both sides were seen since", lambda: mirror.seen_after(now), 90)
        mirror.wait_ready()
    assert "streams are kept as they are" in mirror.log.read_text()


def test_it_waits_for_servers_that_are_not_there_yet(tmp_path: Path) -> None:
    server = LocalStack(tmp_path / "localstack")
    with Mirror(tmp_path, server.endpoint_url, f"127.0.0.1:{free_port()}") as mirror:
        text = mirror.wait_ready(503)
        wait_until("both are named", lambda: mirror.readyz()[1].count("does not answer") == 2)
        assert HTTP.request("GET", f"{mirror.url}/livez").status == 200
        with server:
            wait_until("one side is ready", lambda: '"check": "localstack", "ok": true' in mirror.readyz()[1], 90)
            assert mirror.readyz()[0] == 503, text
            assert mirror.terminate() == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GATEWAY_API_KEY", "short", "GATEWAY_API_KEY: Value should have at least 20 items"),
        ("GATEWAY_API_KEY", "with spaces in it, more than 20", "GATEWAY_API_KEY: Value error, may hold A-Z"),
        ("PIPELINE_ID", "Upper", "PIPELINE_ID: Value error, PIPELINE_ID is 'Upper'"),
        ("PROXY_URL", "proxy:8082", "PROXY_URL: String should match"),
        ("MIRROR_PORT", "99999", "MIRROR_PORT: "),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, name: str, value: str, said: str) -> None:
    with Mirror(tmp_path, "http://127.0.0.1:1", "127.0.0.1:1", **{name: value}) as mirror:
        assert mirror.child.wait(20) == 2
    assert said in mirror.log.read_text()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with Mirror(tmp_path, "http://127.0.0.1:1", "127.0.0.1:1", MIRROR_PORT=port) as mirror:
            assert mirror.child.wait(20) == 1
    assert f"MIRROR_PORT: cannot listen on 127.0.0.1:{port}" in mirror.log.read_text()
