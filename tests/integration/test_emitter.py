"""The emitter against the real proxy on a real Kafka, and the fake gateway held to the same behaviour."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from emitter.batch_path import BatchPath
from emitter.errors import LedgerError
from emitter.ledger_reader import LedgerReader
from emitter.rows import Record
from emitter.transport import HttpTransport, Transport
from emitter.verdicts import Refused, Stored
from fake_gateway import FakeGateway
from pipeline_contracts.content import content_hash
from pipeline_contracts.names import Names
from posts import SAMPLE
from proxy_process import Proxy, create_topics
from servers import Kafka
from service_kit.clock import SystemClock

NAMES = Names(f"em-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def proxy(kafka: Kafka) -> Iterator[Proxy]:
    create_topics(kafka, NAMES)
    running = Proxy(kafka, NAMES)
    yield running
    running.stop()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def emitter(proxy: Proxy, ledger: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start the command; by default against the proxy itself."""

    def start(*arguments: str, url: str = proxy.url, **environment: str) -> "subprocess.Popen[str]":
        settings = {"PIPELINE_ID": NAMES.pipeline_id, "GATEWAY_URL": url, "EMITTER_LEDGER": str(ledger)}
        return subprocess.Popen(
            [sys.executable, "-m", "emitter", "--format", "json", *arguments],
            env=os.environ | settings | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finished(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    out, errors = process.communicate(timeout=120)
    assert out, errors
    return process.returncode, json.loads(out)


def stored(kafka: Kafka) -> dict[tuple[str, int, int], tuple[bytes, bytes]]:
    """Every record of the event topics by coordinate: (key, value)."""
    settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": uuid.uuid4().hex, "enable.auto.commit": False}
    consumer = Consumer(settings)
    parts = [TopicPartition(topic, partition, 0) for topic in NAMES.topics for partition in range(3)]
    left = sum(consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts)
    consumer.assign(parts)
    found = {}
    while left:
        messages = consumer.consume(10_000, timeout=1)
        left -= len(messages)
        for message in messages:
            assert message.error() is None
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            key, value = message.key(), message.value()
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            assert topic is not None
            assert partition is not None
            assert offset is not None
            found[topic, partition, offset] = (key, value)
    consumer.close()
    return found


def acknowledged(ledger: Path) -> dict[tuple[str, int, int], str]:
    """Every acknowledged coordinate with the hash of what was sent."""
    with LedgerReader(ledger) as reader:
        return {
            (part.name, int(part.partition), int(at.offset)): at.content_hash
            for part in reader.acknowledged()
            for at in reader.coordinates(part.path, part.name, part.log_id, part.partition)
        }


def check(kafka: Kafka, ledger: Path, before: set[tuple[str, int, int]]) -> int:
    """What is acknowledged is stored, with the content and the key that were sent; returns how much more is stored."""
    log = stored(kafka)
    known = acknowledged(ledger)
    assert {at: content_hash(log[at][1]) for at in known} == known
    for key, value in log.values():
        row = json.loads(value)
        assert key == str(row.get("ind", row.get("index"))).encode()
    return len(log.keys() - known.keys() - before)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not beside this checkout")
def test_the_sample(kafka: Kafka, emitter: Callable[..., "subprocess.Popen[str]"], ledger: Path) -> None:
    before = set(stored(kafka))
    code, summary = finished(emitter("--source", str(SAMPLE)))
    assert code == 0
    assert summary["sent"] == {"pin": 1326, "geo": 1326, "user": 1329}
    assert summary["paths"]["batch"] == {"acknowledged": 3981, "refused": 0, "unacknowledged": 0}
    assert check(kafka, ledger, before) == 0
    with LedgerReader(ledger) as reader:
        ids = {part.name: part.log_id for part in reader.acknowledged()}
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    described = admin.describe_topics(TopicCollection(list(ids)))
    assert ids == {name: str(future.result(10).topic_id) for name, future in described.items()}


def test_killed_and_gone_on_with(kafka: Kafka, emitter: Callable[..., "subprocess.Popen[str]"], ledger: Path) -> None:
    before = set(stored(kafka))
    command = ("--events", "15000", "--seed", "7")
    in_flight = 0
    for _ in range(3):
        process = emitter(*command)
        _await_progress(ledger, process)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        with LedgerReader(ledger) as reader:
            in_flight += reader.paths(1)["batch"].unacknowledged
    code, summary = finished(emitter(*command))
    assert (code, summary["run"], summary["resumed"]) == (0, 1, True)
    assert summary["paths"]["batch"] == {"acknowledged": 15_000, "refused": 0, "unacknowledged": 0}
    assert check(kafka, ledger, before) <= in_flight, "only requests whose answer was lost are stored twice"
    code, summary = finished(emitter(*command))
    assert (code, summary["run"], summary["resumed"]) == (0, 2, False), "a finished run is sent again on purpose"


def test_proxy_killed_in_the_middle(
    kafka: Kafka, proxy: Proxy, emitter: Callable[..., "subprocess.Popen[str]"], ledger: Path
) -> None:
    before = set(stored(kafka))
    process = emitter("--events", "15000", "--seed", "8")
    _await_progress(ledger, process)
    proxy.kill()
    proxy.start()
    code, summary = finished(process)
    assert code == 0
    assert summary["paths"]["batch"]["acknowledged"] == 15_000
    assert summary["retried"] > 0
    assert check(kafka, ledger, before) <= summary["retried"]


def test_sigterm_stops_cleanly_and_says_how_to_go_on(
    emitter: Callable[..., "subprocess.Popen[str]"], ledger: Path
) -> None:
    process = emitter("--events", "100000", "--rate", "2000")
    _await_progress(ledger, process)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, summary = finished(process)
    assert time.monotonic() - started < 20
    assert (code, summary["unfinished"]) == (3, "stopped on request")
    with LedgerReader(ledger) as reader:
        assert sum(part.records for part in reader.acknowledged()) == summary["paths"]["batch"]["acknowledged"]


def test_nobody_there(emitter: Callable[..., "subprocess.Popen[str]"]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        code, summary = finished(emitter("--events", "30", url=url, EMITTER_DEADLINE_S="1"))
    assert code == 3
    assert "nothing was accepted within 1 s: no answer from" in summary["unfinished"]


@pytest.mark.parametrize("side", ["fake", "real"])
def test_fake_and_real_agree(side: str, proxy: Proxy) -> None:
    """What the unit tests' gateway does is what the proxy does."""
    fake = FakeGateway(topics=tuple(NAMES.topics), most_bytes=10 * 1024 * 1024)
    transport: Transport = fake if side == "fake" else HttpTransport(proxy.url, None, 30, 1)
    path = BatchPath(transport, NAMES, SystemClock(), 500, 5_000_000)
    topic = NAMES.topic("geo")

    def record(number: int, value: bytes) -> Record:
        return Record(number, topic, str(number), "", value)

    two = path.deliver(topic, [record(1, b'{"ind":1}'), record(1, b'{"ind": 1}')]).verdicts
    first, second = two
    assert isinstance(first, Stored)
    assert isinstance(second, Stored)
    assert (first.log_id, first.partition) == (second.log_id, second.partition)
    assert isinstance(first.offset, int)
    assert second.offset == first.offset + 1
    unknown = path.deliver(f"{NAMES.pipeline_id}.nothing", [record(1, b"{}"), record(2, b"{}")])
    assert all(isinstance(each, Refused) and each.reason.startswith("404 40401") for each in unknown.verdicts)
    assert not unknown.as_one
    large = path.deliver(topic, [record(number, b'{"x":"%b"}' % (b"y" * 900_000)) for number in range(13)])
    assert all(isinstance(each, Refused) and each.reason.startswith("413") for each in large.verdicts)
    assert large.as_one


def _await_progress(ledger: Path, process: "subprocess.Popen[str]") -> None:
    """Until something more is acknowledged than when this began."""
    deadline = time.monotonic() + 60
    start: int | None = None
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            with LedgerReader(ledger) as reader:
                now = sum(part.records for part in reader.acknowledged())
        except LedgerError:
            now = 0  # not there yet
        start = now if start is None else start
        if now > start + 1_000:
            return
        time.sleep(0.01)
    pytest.fail("nothing was acknowledged")
