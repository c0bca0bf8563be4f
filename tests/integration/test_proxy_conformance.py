"""One suite over ``Topics`` and ``Sender``, on the cluster in memory and on Kafka: the fake stays honest."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from ingest_proxy.envelope import Record
from ingest_proxy.errors import UnavailableError
from ingest_proxy.memory import MemoryCluster
from ingest_proxy.producer import KafkaSender, Sender
from ingest_proxy.settings import ProxySettings
from ingest_proxy.topics import KafkaTopics, Topic, Topics
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.proxy import ProducedRecord
from servers import Kafka, free_port, make_topics
from waiting import wait_until


@dataclass
class Cluster:
    """What the suite needs of either."""

    pin: str
    topics: Topics
    sender: Sender
    stored: Callable[[], list[Record]]
    make_anew: Callable[[], None]
    close: list[Callable[[], None]] = field(default_factory=list)

    def log(self) -> Topic:
        return self.topics.read_now().topics[self.pin]

    def send(self, *records: Record, seconds: float = 10) -> list[ProducedRecord]:
        return self.sender.send(self.pin, self.log().log_id, records, time.monotonic() + seconds).outcomes


def in_memory(settings: ProxySettings) -> Cluster:
    cluster = MemoryCluster(settings.names, settings.max_record_bytes)
    pin = settings.names.topic("pin")
    return Cluster(pin, cluster, cluster, lambda: cluster.stored(pin), lambda: cluster.make_anew(pin))


def new_topics(settings: ProxySettings) -> list[NewTopic]:
    return [NewTopic(spec.name, spec.partitions, 1, config=spec.config) for spec in topic_specs(settings.names)]


def read_all(servers: str, topic: str, count: int) -> list[Record]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    found: list[tuple[int | None, int | None, Record]] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            found.append(
                (message.partition(), message.offset(), Record(message.key(), message.value(), message.partition()))
            )
    consumer.close()
    return [record for *_, record in sorted(found, key=lambda entry: (entry[0] or 0, entry[1] or 0))]


def on_kafka(settings: ProxySettings) -> Cluster:
    servers, pin = settings.bootstrap_servers, settings.names.topic("pin")
    make_topics(servers, *new_topics(settings))
    sender = KafkaSender(settings)
    topics = KafkaTopics(servers, list(settings.names.topics), sender.renew)

    def stored() -> list[Record]:
        return read_all(servers, pin, sum(topics.offsets(pin, partition)[1] for partition in range(3)))

    def make_anew() -> None:
        admin = AdminClient({"bootstrap.servers": servers})
        old = topics.read_now().topics[pin].log_id
        admin.delete_topics([pin])[pin].result(30)
        wait_until("the topic is gone", lambda: pin not in topics.read_now().topics)
        make_topics(servers, *(topic for topic in new_topics(settings) if topic.topic == pin))

        def is_new() -> bool:
            found = topics.read_now().topics.get(pin)
            return found is not None and found.log_id != old and all(part.leader >= 0 for part in found.partitions)

        wait_until("the new topic has its leaders", is_new)

    return Cluster(pin, topics, sender, stored, make_anew, [sender.close, topics.close])


@pytest.fixture(params=["memory", "kafka"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    pipeline_id = f"c{uuid.uuid4().hex[:12]}"
    if request.param == "memory":
        made = in_memory(ProxySettings(pipeline_id=pipeline_id))
    else:
        kafka: Kafka = request.getfixturevalue("kafka")
        made = on_kafka(ProxySettings(pipeline_id=pipeline_id, bootstrap_servers=kafka.bootstrap_servers))
    yield made
    for close in made.close:
        close()


def test_topics(cluster: Cluster) -> None:
    assert len(cluster.topics.latest().topics) == 3
    log = cluster.log()
    assert len(log.log_id) == 22
    assert [partition.partition for partition in log.partitions] == [0, 1, 2]
    assert [(replica.leader, replica.in_sync) for replica in log.partitions[0].replicas] == [(True, True)]
    assert cluster.topics.brokers() == [1]
    assert cluster.topics.configuration(cluster.pin)["message.timestamp.type"] == "LogAppendTime"


def test_every_kind_of_record_is_stored_as_it_is(cluster: Cluster) -> None:
    records = [
        Record(b"1", b'{"index":1}', 0),
        Record(b"1", None, 0),
        Record(None, b"null", 0),
        Record(b"", b"", 0),
        Record(None, None, 0),
        Record("Å😀".encode(), b"0", 0),
    ]
    outcomes = cluster.send(*records)
    assert [(outcome.partition, outcome.offset, outcome.error_code) for outcome in outcomes] == [
        (0, n, None) for n in range(6)
    ]
    assert cluster.stored() == records
    assert cluster.topics.offsets(cluster.pin, 0) == (0, 6)
    assert cluster.topics.offsets(cluster.pin, 1) == (0, 0)


def test_a_key_decides_on_one_partition(cluster: Cluster) -> None:
    outcomes = cluster.send(*(Record(str(n % 20).encode(), b"%d" % n) for n in range(200)))
    places = {n % 20: outcomes[n].partition for n in range(200)}
    assert all(outcome.partition == places[n % 20] for n, outcome in enumerate(outcomes))
    assert set(places.values()) == {0, 1, 2}
    for partition in range(3):
        offsets = [outcome.offset for outcome in outcomes if outcome.partition == partition]
        assert offsets == list(range(len(offsets))), "in the order of the request"


def test_a_record_too_large_fails_alone(cluster: Cluster) -> None:
    outcomes = cluster.send(Record(b"k", b"1"), Record(b"k", b"x" * 1_100_000), Record(b"k", b"y" * 1_000_000))
    assert [outcome.error_code for outcome in outcomes] == [None, 1, None], outcomes
    assert "too large" in (outcomes[1].error or "")
    assert len(cluster.stored()) == 2


def test_offsets_become_certain_when_confirmed_and_a_new_log_is_never_taken_for_the_old(cluster: Cluster) -> None:
    old = cluster.log().log_id

    def send(log_id: str) -> tuple[bool, int | None]:
        sent = cluster.sender.send(cluster.pin, log_id, [Record(b"k", b"1")], time.monotonic() + 10)
        certain = sent.certain
        if cluster.log().log_id == log_id:
            sent.confirm()
        return certain, sent.outcomes[0].offset

    assert [send(old) for _ in range(3)] == [(False, 0), (True, 1), (True, 2)]
    cluster.make_anew()
    new = cluster.log().log_id
    assert new != old
    assert send(old) == (False, 0)
    assert send(new)[0] is False


def test_kafka_away() -> None:
    settings = ProxySettings(bootstrap_servers=f"127.0.0.1:{free_port()}", delivery_timeout_ms=1000)
    sender = KafkaSender(settings)
    topics = KafkaTopics(settings.bootstrap_servers, list(settings.names.topics), lambda: None)
    try:
        begun = time.monotonic()
        for call in (topics.latest, topics.read_now, topics.brokers):
            with pytest.raises(UnavailableError):
                call()
        outcomes = sender.send("pinterest.pin", "A", [Record(None, b"1")] * 3, time.monotonic() + 3).outcomes
        assert [outcome.error_code for outcome in outcomes] == [2, 2, 2]
        assert time.monotonic() - begun < 15
    finally:
        topics.close()
        sender.close()


def test_a_full_queue_refuses_the_rest(kafka: Kafka) -> None:
    settings = ProxySettings(
        pipeline_id=f"c{uuid.uuid4().hex[:12]}",
        bootstrap_servers=kafka.bootstrap_servers,
        queue_max_records=10,
        linger_ms=500,
    )
    made = on_kafka(settings)
    try:
        outcomes = made.send(*(Record(b"k", b"%d" % n) for n in range(30)))
        codes = [outcome.error_code for outcome in outcomes]
        accepted = codes.index(2)
        assert 10 <= accepted < 30
        assert codes == [None] * accepted + [2] * (30 - accepted)
        assert [record.value for record in made.stored()] == [b"%d" % n for n in range(accepted)]
    finally:
        for close in made.close:
            close()
