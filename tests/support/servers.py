"""Real servers for tests, each on its own random loopback ports, ended with the test."""

import os
import random
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pipeline_local import descendants, kafka, localstack
from pipeline_local.command import Command
from pipeline_local.layout import Layout
from pipeline_local.topology import read_topology, read_variables

ROOT = Path(__file__).parents[2]
START_DEADLINE_S = 60
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that was free a moment ago, and whose neighbour was, too; never one that this gave before.

    Taken from below the range that the system gives to outgoing connections, so that it stays free for a while; each of
    the two processes of a test run has a range of its own, so that neither takes a port of the other's stopped server.
    """
    process = os.environ.get("PYTEST_XDIST_WORKER") or os.environ.get("TEST_LANE")
    first, end = (26_000, 32_000) if process in {"gw1", "beside"} else (20_000, 26_000)
    for _ in range(1000):
        port = random.randrange(first, end, 2)
        if port not in _given and _is_free(port) and _is_free(port + 1):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port between {first} and {end}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server:
    """A child process in its own group; a context manager that ends it."""

    start_deadline_s: float = START_DEADLINE_S

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._child: subprocess.Popen[bytes] | None = None

    def command(self) -> Command:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start and block until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; with the last lines of its log.
        """
        command = self.command()
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                command.argv,
                env={**os.environ, **command.env, descendants.MARKER: str(self.folder)},
                cwd=command.cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + self.start_deadline_s
        while not self.answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{type(self).__name__} did not start:\n{tail}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self.kill()

    def kill(self) -> None:
        """kill -9 of it and of every process that it started."""
        descendants.kill(str(self.folder))
        if self._child is not None:
            self._child.wait(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Kafka(Server):
    """One broker. ``bootstrap_servers`` stays the same over restarts; data lie in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port, self._controller_port = free_port(), free_port()

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def login(self) -> dict[str, Any]:
        """What a client needs beside the address."""
        return {}

    def environment(self) -> dict[str, str]:
        """Its settings, those of ``compose.yaml`` with other listeners, as the official image takes them."""
        of_compose = read_topology(ROOT / "compose.yaml", read_variables(ROOT / ".env", {}))["kafka"].environment
        return of_compose | {
            "KAFKA_LISTENERS": f"INTERNAL://:{self._port},CONTROLLER://:{self._controller_port}",
            "KAFKA_ADVERTISED_LISTENERS": f"INTERNAL://127.0.0.1:{self._port}",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@127.0.0.1:{self._controller_port}",
        }

    def command(self) -> Command:
        return kafka.command(Layout.of_checkout(), self.environment(), self.folder)

    def answers(self) -> bool:
        try:
            AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0, **self.login}).list_topics(
                timeout=1
            )
        except KafkaException:
            return False
        return True


class LocalStack(Server):
    """One LocalStack with the product's Kinesis backend. It forgets all but Kinesis records when it restarts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port = free_port()

    @property
    def endpoint_url(self) -> str:
        return f"http://localhost:{self._port}"

    def command(self) -> Command:
        # All tests of a process share one account, which has 100 shards by default.
        settings = {"LS_LOG": "warning", "KINESIS_SHARD_LIMIT": "1000"}
        return localstack.command(Layout.of_checkout(), settings, self.folder, self._port)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint_url}/_localstack/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def make_topics(bootstrap_servers: str, *topics: NewTopic) -> None:
    """Make topics, and wait until every leader knows of its partitions (20 s at most each).

    Kafka says before that that they are made; a record that comes too early is refused, and clients do not try again.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})  # dropped too early, it takes its futures with it
    for future in admin.create_topics(list(topics)).values():
        future.result(30)
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "make-topics"})
    for topic in topics:
        for partition in range(topic.num_partitions):
            _await_leader(consumer, TopicPartition(topic.topic, partition))
    consumer.close()


def _await_leader(consumer: Consumer, partition: TopicPartition) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            consumer.get_watermark_offsets(partition, timeout=2)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
