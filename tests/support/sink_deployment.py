"""A pipeline's topics and bucket on real servers, and sinks as processes."""

import gzip
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pipeline_contracts import objects
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from servers import Kafka, LocalStack, free_port
from service_kit.retries import RetryPolicy, retry

ROOT = Path(__file__).resolve().parents[2]


class Deployment:
    """One pipeline's topics, bucket and sinks, under a name of its own."""

    def __init__(self, kafka: Kafka, localstack: LocalStack, folder: Path) -> None:
        self.names = Names(f"t{uuid.uuid4().hex[:10]}")
        self.bucket = self.names.bucket
        self.pin = self.names.topic("pin")
        self._kafka = kafka
        self._localstack = localstack
        self._folder = folder
        self._sinks: list[subprocess.Popen[bytes]] = []
        self._ports: dict[int, int] = {}
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2_random"})
        self.s3 = boto3.client(
            "s3",
            endpoint_url=localstack.endpoint_url,
            config=Config(read_timeout=30, retries={"total_max_attempts": 5}),
        )
        self.sent: dict[str, list[tuple[bytes | None, bytes | None]]] = defaultdict(list)

    def create_topics(self) -> None:
        specs = [NewTopic(spec.name, spec.partitions, config=spec.config) for spec in topic_specs(self.names)]

        def create() -> None:
            for made in self.admin.create_topics(specs, request_timeout=5).values():
                made.result(10)

        retry(create, RetryPolicy(30), KafkaException)

    def create_bucket(self) -> None:
        retry(lambda: self.s3.create_bucket(Bucket=self.bucket), RetryPolicy(60), (ClientError, BotoCoreError))

    def delete_objects(self) -> None:
        for key in self.object_keys():
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def produce(self, count: int, topic: str | None = None) -> None:
        """Records with keys and values that tell them apart."""
        topic = topic or self.pin
        for _ in range(count):
            number = len(self.sent[topic])
            self.produce_one(str(number).encode(), b'{"n":%d,"text":"\xc3\xa9 \\ud83c\\udf89"}' % number, topic)
        assert self._producer.flush(30) == 0

    def produce_one(
        self, key: bytes | None, value: bytes | None, topic: str | None = None, partition: int = -1
    ) -> None:
        topic = topic or self.pin
        self.sent[topic].append((key, value))
        self._producer.produce(topic, value, key, partition)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        port = free_port()
        environment = {
            **os.environ,
            "PIPELINE_ID": self.names.pipeline_id,
            "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "AWS_ENDPOINT_URL": self._localstack.endpoint_url,
            "S3_SINK_PORT": str(port),
            "S3_SINK_FLUSH_INTERVAL_MS": "300",
            "S3_SINK_VERIFY_INTERVAL_MS": "1000",
            "S3_SINK_CONNECTORS_DIR": str(ROOT / "deploy" / "aws" / "connectors"),
            **settings,
        }
        with (self._folder / "sink.log").open("ab") as log:
            sink = subprocess.Popen([sys.executable, "-m", "s3_sink"], env=environment, stdout=log, stderr=log)
        self._sinks.append(sink)
        self._ports[sink.pid] = port
        return sink

    def log(self) -> str:
        return (self._folder / "sink.log").read_text()

    def ready(self, sink: subprocess.Popen[bytes]) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[sink.pid]}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    def said(self, sink: subprocess.Popen[bytes]) -> str:
        """What ``/readyz`` says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[sink.pid]}/readyz", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except urllib.error.URLError:
            return ""

    def metric(self, sink: subprocess.Popen[bytes], name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[sink.pid]}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"s3_sink_{name}"))

    def end_sinks(self) -> None:
        for sink in self._sinks:
            if sink.poll() is None:
                sink.kill()
            sink.wait(10)

    def object_keys(self) -> list[str]:
        try:
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
            return [found["Key"] for page in pages for found in page.get("Contents", [])]
        except (ClientError, BotoCoreError):
            return []

    def object(self, key: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
        found = self.s3.get_object(Bucket=self.bucket, Key=key)
        return found["Metadata"], [json.loads(line) for line in gzip.decompress(found["Body"].read()).splitlines()]

    def lines(self, topic: str | None = None, log_id: str | None = None) -> dict[int, list[dict[str, Any]]]:
        """Every line of a topic's objects, by partition, in the order of the names."""
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for key in self.object_keys():
            name = objects.parse_object_key(key)
            if name is None or name.key != key:
                continue
            if name.topic == (topic or self.pin) and name.log_id == log_id:
                found[name.partition] += self.object(key)[1]
        return found

    def new_log_id(self) -> str | None:
        """The log id in the names of objects, once there are such."""
        names = [objects.parse_object_key(key) for key in self.object_keys()]
        found = {name.log_id for name in names if name is not None and name.topic == self.pin}
        return next(iter(found - {None}), None)

    def count(self, topic: str | None = None, log_id: str | None = None) -> int:
        return sum(len(lines) for lines in self.lines(topic, log_id).values())

    def archived(self, topic: str | None = None, log_id: str | None = None) -> bool:
        return self.count(topic, log_id) >= len(self.sent[topic or self.pin])

    def check_parity(self, topic: str | None = None, log_id: str | None = None) -> None:
        """Each record that was sent stands in the objects once, and offsets have neither gap nor repetition."""
        by_partition = self.lines(topic, log_id)
        for lines in by_partition.values():
            assert [line["offset"] for line in lines] == list(range(len(lines)))
        stored = [line["key"] for lines in by_partition.values() for line in lines]
        assert sorted(stored) == sorted((key or b"").decode() for key, _ in self.sent[topic or self.pin])
