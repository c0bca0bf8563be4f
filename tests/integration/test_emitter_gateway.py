"""The emitter down both paths at once: LocalStack's gateway, the real proxy and Kafka, Kinesis."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_deploy.apply import apply_stacks
from aws_deploy.clients import Clients
from aws_deploy.deployer import Deployer
from aws_deploy.wanted import Wanted
from emitter.ledger_reader import LedgerReader
from pipeline_contracts.content import content_hash
from pipeline_contracts.names import Names
from proxy_process import Proxy, create_topics
from pydantic import SecretStr
from servers import Kafka, LocalStack

NAMES = Names(f"eg-{uuid.uuid4().hex[:8]}")
KEY = f"key-of-{NAMES.pipeline_id}-0001"


@pytest.fixture(scope="module")
def clients(localstack: LocalStack) -> Clients:
    return Clients.on_localstack(localstack.endpoint_url, "us-east-1")


@pytest.fixture(scope="module")
def gateway(clients: Clients, kafka: Kafka) -> Iterator[str]:
    create_topics(kafka, NAMES)
    proxy = Proxy(kafka, NAMES)
    wanted = Wanted(NAMES, "localstack", clients.endpoint_url, proxy.url, SecretStr(KEY))
    deployed = apply_stacks(Deployer(clients.cloudformation, "localstack", poll_s=0.1), wanted)
    yield deployed["api"]["GatewayUrl"]
    proxy.stop()


def emit(url: str, ledger: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    settings = {
        "PIPELINE_ID": NAMES.pipeline_id,
        "GATEWAY_URL": url,
        "GATEWAY_API_KEY": KEY,
        "EMITTER_LEDGER": str(ledger),
    }
    done = subprocess.run(
        [sys.executable, "-m", "emitter", "--format", "json", *arguments],
        env=os.environ | settings | {"EMITTER_LEDGER": str(ledger)} | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout, done.stderr
    assert KEY not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def stored(clients: Clients, stream: str, expected: int) -> dict[tuple[str, str], bytes]:
    """All records of a stream by (shard, sequence number); waits up to 30 s for as many as expected."""
    found: dict[tuple[str, str], bytes] = {}
    for shard in clients.kinesis.list_shards(StreamName=stream)["Shards"]:
        iterator = clients.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        behind = True
        while behind:
            page = clients.kinesis.get_records(ShardIterator=iterator, Limit=1_000)
            found |= {(shard["ShardId"], each["SequenceNumber"]): each["Data"] for each in page["Records"]}
            iterator = page["NextShardIterator"]
            behind = bool(page["Records"])
    assert len(found) >= expected
    return found


def test_both_paths(clients: Clients, gateway: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    code, summary = emit(gateway, ledger, "--path", "both", "--events", "3000", "--seed", "3")
    assert code == 0
    assert sum(summary["sent"].values()) == 3_000
    every = {"acknowledged": 3_000, "refused": 0, "unacknowledged": 0}
    assert summary["paths"] == {"batch": every, "stream": every}
    with LedgerReader(ledger) as reader:
        parts = [part for part in reader.acknowledged() if part.path == "stream"]
        assert {part.name for part in parts} == set(NAMES.streams)
        assert {part.partition for part in parts} == {"shardId-000000000000", "shardId-000000000001"}
        for stream in NAMES.streams:
            described = clients.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
            created = round(described["StreamCreationTimestamp"].timestamp() * 1000)
            known = {
                (part.partition, str(at.offset)): at.content_hash
                for part in parts
                if part.name == stream
                for at in reader.coordinates("stream", stream, part.log_id, part.partition)
            }
            assert {part.log_id for part in parts if part.name == stream} == {f"{described['StreamARN']}@{created}"}
            log = stored(clients, stream, len(known))
            assert {at: content_hash(data) for at, data in log.items()} == known


def test_a_row_that_the_gateway_refuses_holds_up_no_other(clients: Clients, gateway: str, tmp_path: Path) -> None:
    source = tmp_path / "posts"
    source.mkdir()
    rows = [{"ind": 900_000 + number, "note": f"held up {number}"} for number in range(40)]
    lines = [json.dumps(row) for row in rows]
    lines[7] = '{"ind":900007,"note":' + "[" * 150 + "]" * 150 + "}"
    for kind in ("pin", "user"):
        (source / f"{kind}.jsonl").touch()
    (source / "geo.jsonl").write_text("\n".join(lines) + "\n")
    code, summary = emit(gateway, tmp_path / "l", "--path", "stream", "--source", str(source), EMITTER_DEADLINE_S="60")
    assert summary["paths"]["stream"] == {"acknowledged": 39, "refused": 1, "unacknowledged": 0}, summary
    assert code == 1
    found = stored(clients, NAMES.stream("geo"), 39).values()
    assert sum(b"held up" in data for data in found) == 39


def test_a_wrong_key_is_waited_for_and_then_named(gateway: str, tmp_path: Path) -> None:
    started = time.monotonic()
    code, summary = emit(
        gateway, tmp_path / "l", "--events", "3", EMITTER_DEADLINE_S="2", GATEWAY_API_KEY="wrong-key-wrong-key-1"
    )
    assert code == 3
    assert "nothing was accepted within 2 s: 403" in summary["unfinished"]
    assert time.monotonic() - started < 30
