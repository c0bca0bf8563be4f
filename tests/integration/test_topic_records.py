"""What ``pipeline consume`` reads, from a real broker."""

import time
from itertools import count

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from pipeline_local import topic_records
from raw_kafka import spoil
from servers import Kafka, make_topics
from waiting import wait_until

PARTITIONS = 3
RECORDS = 60
NUMBERS = count()


@pytest.fixture
def topic(kafka: Kafka) -> str:
    """A topic with record ``n`` stored at ``n`` ms, in turn over the partitions."""
    name = f"looked-at-{next(NUMBERS)}"
    make_topics(kafka.bootstrap_servers, NewTopic(name, PARTITIONS))
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(RECORDS):
        at = 1_700_000_000_000 + number
        producer.produce(name, str(number), key="k", partition=number % PARTITIONS, timestamp=at)
    assert producer.flush(10) == 0
    return name


@pytest.mark.parametrize(("last", "values"), [(False, range(7)), (True, range(RECORDS - 7, RECORDS))])
def test_the_oldest_or_the_newest_of_all_partitions(kafka: Kafka, topic: str, last: bool, values: range) -> None:
    found = topic_records.read(kafka.bootstrap_servers, topic, 7, last=last)
    assert [record["value"] for record in found] == [str(number) for number in values]


def test_fewer_than_asked_for_are_not_waited_for(kafka: Kafka, topic: str) -> None:
    start = time.monotonic()
    found = topic_records.read(kafka.bootstrap_servers, topic, 1000, last=False)
    assert [record["value"] for record in found] == [str(number) for number in range(RECORDS)]
    assert time.monotonic() - start < topic_records.TIMEOUT_S


def test_markers_at_the_end_are_not_waited_for(kafka: Kafka, topic: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, "committed", key="k", partition=0, timestamp=1_700_000_001_000)
    producer.commit_transaction(10)
    # The commit returns before its marker is written, up to which nobody reads.
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic})
    place, behind = TopicPartition(topic, 0), RECORDS // PARTITIONS + 2
    wait_until("the marker is written", lambda: consumer.get_watermark_offsets(place, timeout=10)[1] == behind, 30)
    consumer.close()
    start = time.monotonic()
    found = topic_records.read(kafka.bootstrap_servers, topic, 1000, last=False)
    assert [record["value"] for record in found][RECORDS - 1 :] == [str(RECORDS - 1), "committed"]
    assert time.monotonic() - start < topic_records.TIMEOUT_S


@pytest.mark.parametrize("last", [False, True])
def test_a_batch_that_cannot_be_read_is_named_and_read_behind(kafka: Kafka, topic: str, last: bool) -> None:
    spoil(kafka.bootstrap_servers, topic, 1, 4)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, "behind", key="k", partition=1, timestamp=1_700_000_001_000)
    assert producer.flush(10) == 0
    first = RECORDS // PARTITIONS
    batch, *found = topic_records.read(kafka.bootstrap_servers, topic, 1000, last=last)
    assert [record["value"] for record in found] == [*(str(number) for number in range(RECORDS)), "behind"]
    assert (batch["partition"], batch["offset"], batch["up_to"]) == (1, first, first + 3)
    assert "Decompression" in batch["unreadable"]
