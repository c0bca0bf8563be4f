"""The sink drains records that lie in Kafka: to LocalStack's S3 and to one in memory, beside a bare loop.

Run ``.venv/bin/python benchmarks/s3_sink_drain.py --records 300000 --runs 3``. All contenders read the same topic of
three partitions from offset 0, in this process, one after the other in each round. The bare loop consumes, joins the
values, compresses and puts: no check, no envelope, no dead letters, no fence, no position. CPU seconds are the
process's own, the Kafka client's and the compressing threads' included, the broker's and LocalStack's not.
"""

import argparse
import gzip
import json
import logging
import math
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import CollectorRegistry
from s3_sink.archive import S3Archive, s3_client
from s3_sink.chain import Chain
from s3_sink.connector import Connector
from s3_sink.encoding import GZIP_LEVEL
from s3_sink.fakes import FakeArchive
from s3_sink.health import Health
from s3_sink.log import KafkaLog
from s3_sink.metrics import Metrics
from s3_sink.placement import Placement
from s3_sink.ports import Archive
from s3_sink.settings import Settings
from s3_sink.sink import Limits, Sink
from s3_sink.store import Storer
from s3_sink.uploads import Uploads
from service_kit.retries import RetryPolicy

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from servers import Kafka, LocalStack

BAR_PER_S = 20_000
TOPIC = "bench.pin"
PARTITIONS = 3
WORDS = "the garden of small things made by hand with paper wood and light 🎄 ✨ día über".split()  # noqa: SIM905


def pin(chance: random.Random, index: int) -> bytes:
    """A record of about 700 bytes, as a pin of the real sample."""
    row = {
        "index": index,
        "unique_id": str(uuid.UUID(int=chance.getrandbits(128))),
        "title": " ".join(chance.choices(WORDS, k=10)),
        "description": " ".join(chance.choices(WORDS, k=45)),
        "poster_name": " ".join(chance.choices(WORDS, k=3)),
        "follower_count": f"{chance.randrange(999)}k",
        "tag_list": ",".join(chance.choices(WORDS, k=12)),
        "is_image_or_video": "image",
        "image_src": f"https://i.pinimg.com/originals/{chance.getrandbits(96):024x}.jpg",
        "downloaded": 1,
        "save_location": "Local save in /data/christmas",
        "category": "christmas",
    }
    return json.dumps(row, ensure_ascii=False).encode()


def fill(bootstrap_servers: str, records: int) -> int:
    """Produce them; returns the bytes of all values."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result(10)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "compression.type": "lz4"})
    chance = random.Random(1)
    values = [pin(chance, index) for index in range(min(records, 20_000))]
    total = 0
    for number in range(records):
        value = values[number % len(values)]
        total += len(value)
        while True:
            try:
                producer.produce(TOPIC, value, str(number).encode())
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0
    return total


def bare(bootstrap_servers: str, archive: Archive, records: int, window_bytes: int) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "bare", "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
    values: dict[int | None, list[bytes]] = defaultdict(list)
    sizes: dict[int | None, int] = defaultdict(int)
    seen = 0
    while seen < records:
        for message in consumer.consume(2_000, 1):
            value = message.value() or b""
            values[message.partition()].append(value)
            sizes[message.partition()] += len(value)
            seen += 1
        for partition, size in sizes.items():
            if values[partition] and (size >= window_bytes or seen == records):
                body = gzip.compress(b"\n".join(values[partition]), GZIP_LEVEL, mtime=0)
                archive.put(f"bare/{uuid.uuid4()}", body, {})
                values[partition].clear()
                sizes[partition] = 0
    consumer.close()


def drain(bootstrap_servers: str, archive: Archive, records: int) -> None:
    settings = Settings()
    retries = RetryPolicy(math.inf)
    metrics = Metrics(CollectorRegistry())
    log = KafkaLog(bootstrap_servers, "bench", 5)
    connector = Connector("bench", "json", (TOPIC,), "bench", "bench.dlq")
    with (
        ThreadPoolExecutor(settings.uploads) as stores,
        ThreadPoolExecutor(settings.uploads) as heads,
        ThreadPoolExecutor(1) as lister,
    ):
        placement = Placement([connector], log, Chain(archive, heads, lambda: False), retries.clock, metrics)
        storer = Storer(
            archive=archive,
            log=log,
            writer_id=str(uuid.uuid4()),
            retries=retries,
            wait=time.sleep,
            given_up=lambda: False,
        )
        sink = Sink(
            placement=placement,
            log=log,
            uploads=Uploads(storer, stores, stores, metrics),
            lister=lister,
            limits=Limits(
                flush_interval_s=settings.flush_interval_ms / 1_000,
                window_bytes=settings.max_buffer_bytes,
                total_bytes=settings.max_total_bytes,
                log_check_interval_s=settings.log_check_interval_ms / 1_000,
                verify_interval_s=settings.verify_interval_ms / 1_000,
                stuck_after_s=settings.stuck_after_ms / 1_000,
            ),
            retries=retries,
            metrics=metrics,
            health=Health(clock=retries.clock, loop_limit_s=60),
            pause=time.sleep,
        )
        while sum(partition.window.position for partition in placement.partitions) < records:
            sink.step()
        sink.drain(60)
    assert sum(partition.archived for partition in placement.partitions) == records


def measure(run: Callable[[], None], records: int) -> tuple[float, float]:
    """Records per second, and CPU microseconds per record."""
    began, cpu = time.perf_counter(), time.process_time()
    run()
    return records / (time.perf_counter() - began), (time.process_time() - cpu) / records * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the report to this file too")
    asked = parser.parse_args()
    logging.disable(logging.INFO)
    # LocalStack takes any.
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    records = asked.records
    results: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as folder,
        Kafka(Path(folder) / "kafka") as kafka,
        LocalStack(Path(folder) / "localstack") as localstack,
    ):
        servers = kafka.bootstrap_servers
        size = fill(servers, records)
        client = s3_client(localstack.endpoint_url, "us-east-1", 60, 8)

        def bucket() -> S3Archive:
            name = f"bench-{uuid.uuid4()}"
            client.create_bucket(Bucket=name)
            return S3Archive(client, name)

        for _ in range(asked.runs):
            s3 = bucket()
            results["bare loop, S3"].append(
                measure(lambda: bare(servers, s3, records, Settings().max_buffer_bytes), records)  # noqa: B023
            )
            results["sink, S3"].append(measure(lambda: drain(servers, s3, records), records))  # noqa: B023
            results["sink, memory"].append(measure(lambda: drain(servers, FakeArchive(), records), records))
    rates = {name: statistics.median(rate for rate, _ in runs) for name, runs in results.items()}
    report = {
        "records": records,
        "bytes_per_record": round(size / records),
        "bar_records_per_s": BAR_PER_S,
        "contenders": {
            name: {
                "records_per_s": [round(rate) for rate, _ in runs],
                "median_records_per_s": round(rates[name]),
                "cpu_us_per_record": [round(cpu, 1) for _, cpu in runs],
            }
            for name, runs in results.items()
        },
    }
    print(json.dumps(report, indent=2))
    if asked.json is not None:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if rates["sink, S3"] >= BAR_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
