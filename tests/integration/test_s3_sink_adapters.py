"""One suite on the fakes and on the real adapters, so that what the unit tests assume is true."""

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from raw_kafka import RawRecord, produce_raw, spoil
from s3_sink.archive import S3Archive, s3_client
from s3_sink.fakes import FakeArchive, FakeLog
from s3_sink.log import KafkaLog
from s3_sink.ports import (
    Archive,
    ArchiveUnavailableError,
    Batch,
    BucketMissingError,
    DeadLetter,
    Header,
    HeadersError,
    LettersTooLargeError,
    Log,
    LogUnavailableError,
    ObjectExistsError,
    Reader,
    Record,
    TopicPartition,
    TopicState,
    Unreadable,
)
from servers import Kafka, LocalStack, free_port
from service_kit.retries import RetryPolicy, retry

READS = 150  # of 0.1 s each


# --- archive -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["fake", "s3"])
def archive(request: pytest.FixtureRequest) -> Archive:
    if request.param == "fake":
        return FakeArchive()
    localstack: LocalStack = request.getfixturevalue("localstack")
    bucket = f"sink-{uuid.uuid4()}"
    client = s3_client(localstack.endpoint_url, "us-east-1", 30, 8)
    client.create_bucket(Bucket=bucket)
    return S3Archive(client, bucket)


@pytest.fixture(params=["fake", "s3"])
def no_bucket(request: pytest.FixtureRequest) -> Archive:
    if request.param == "fake":
        archive = FakeArchive()
        archive.exists = False
        return archive
    localstack: LocalStack = request.getfixturevalue("localstack")
    return S3Archive(s3_client(localstack.endpoint_url, "us-east-1", 30, 8), f"none-{uuid.uuid4()}")


@pytest.fixture(params=["fake", "s3"])
def no_s3(request: pytest.FixtureRequest) -> Archive:
    if request.param == "fake":
        archive = FakeArchive()
        archive.available = False
        return archive
    return S3Archive(s3_client(f"http://127.0.0.1:{free_port()}", "us-east-1", 1, 8), "any")


def test_an_object_is_put_once(archive: Archive) -> None:
    etag = archive.put("topics/a", b"first", {"writer-id": "one", "records": "1"})
    with pytest.raises(ObjectExistsError):
        archive.put("topics/a", b"second", {"writer-id": "two"})
    assert archive.metadata("topics/a") == {"writer-id": "one", "records": "1"}
    assert [(ref.key, ref.etag) for ref in archive.list("topics/")] == [("topics/a", etag)]


def test_of_many_puts_at_once_one_wins(archive: Archive) -> None:
    def put(number: int) -> bool:
        try:
            archive.put("topics/raced", b"x" * 10_000, {"writer-id": str(number)})
        except (ObjectExistsError, ArchiveUnavailableError):
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = [number for number, has_won in enumerate(threads.map(put, range(8))) if has_won]
    assert len(won) == 1
    assert archive.metadata("topics/raced") == {"writer-id": str(won[0])}


def test_listing_is_sorted_and_by_prefix(archive: Archive) -> None:
    for key in ("b/2", "a/3", "b/10", "b+1"):
        archive.put(key, b"", {})
    assert [ref.key for ref in archive.list("b/")] == ["b/10", "b/2"]
    assert [ref.key for ref in archive.list("b/", "b/1")] == ["b/10", "b/2"]
    assert [ref.key for ref in archive.list("b/", "b/10")] == ["b/2"]


def test_no_such_object(archive: Archive) -> None:
    assert archive.metadata("topics/none") is None


def test_no_bucket(no_bucket: Archive) -> None:
    with pytest.raises(BucketMissingError):
        list(no_bucket.list("a"))
    with pytest.raises(BucketMissingError):
        no_bucket.put("a", b"", {})
    assert no_bucket.metadata("a") is None


def test_s3_is_away(no_s3: Archive) -> None:
    with pytest.raises(ArchiveUnavailableError):
        list(no_s3.list("a"))
    with pytest.raises(ArchiveUnavailableError):
        no_s3.put("a", b"", {})
    with pytest.raises(ArchiveUnavailableError):
        no_s3.metadata("a")


def test_more_than_one_page_is_listed(localstack: LocalStack) -> None:
    bucket = f"sink-{uuid.uuid4()}"
    client = s3_client(localstack.endpoint_url, "us-east-1", 30, 16)
    client.create_bucket(Bucket=bucket)
    archive = S3Archive(client, bucket)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: archive.put(f"a/{number:04}", b"", {}), range(1_005)))
    assert len(list(archive.list("a/"))) == 1_005
    assert len(list(archive.list("a/", "a/0002"))) == 1_002


# --- log ---------------------------------------------------------------------------------------------------------


class FakeBroker:
    """Makes the same log by fake means as ``RealBroker`` by real ones."""

    def __init__(self) -> None:
        self.log: Log = FakeLog()
        self._fake = self.log

    def create(self, topic: str, partitions: int = 1, *, sender_times: bool = False) -> None:
        assert isinstance(self._fake, FakeLog)
        self._fake.create(topic, str(uuid.uuid4()), partitions, sender_times=sender_times)

    def spoil(self, place: TopicPartition, records: int) -> None:
        assert isinstance(self._fake, FakeLog)
        self._fake.spoil(place, records)

    def limit(self, _topic: str, largest_bytes: int) -> None:
        assert isinstance(self._fake, FakeLog)
        self._fake.largest_letter = largest_bytes

    def transact(self, place: TopicPartition, values: Sequence[bytes], *, commit: bool) -> None:
        assert isinstance(self._fake, FakeLog)
        self._fake.begin(place)
        for value in values:
            self._fake.produce(place, None, value)
        self._fake.end(place, commit=commit)

    @contextmanager
    def transaction_open(self, place: TopicPartition) -> Iterator[None]:
        assert isinstance(self._fake, FakeLog)
        self._fake.begin(place)
        self._fake.produce(place, None, b"open")
        yield
        self._fake.end(place, commit=True)

    def produce_raw(
        self, place: TopicPartition, value: bytes, headers: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        assert isinstance(self._fake, FakeLog)
        self._fake.produce(place, None, value, timestamp_ms, headers)

    def delete(self, topic: str) -> None:
        assert isinstance(self._fake, FakeLog)
        del self._fake.topics[topic]

    def produce(self, place: TopicPartition, key: bytes | None, value: bytes | None) -> None:
        assert isinstance(self._fake, FakeLog)
        self._fake.produce(place, key, value)

    def expire(self, place: TopicPartition, low: int) -> None:
        assert isinstance(self._fake, FakeLog)
        self._fake.expire(place, low)

    def dead_letters(self, topic: str) -> list[DeadLetter]:
        assert isinstance(self._fake, FakeLog)
        return self._fake.dead_letters[topic]


class RealBroker:
    def __init__(self, bootstrap_servers: str) -> None:
        self.log: Log = KafkaLog(bootstrap_servers, "test", 5)
        self._bootstrap_servers = bootstrap_servers
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._producer = Producer({"bootstrap.servers": bootstrap_servers})

    def create(self, topic: str, partitions: int = 1, *, sender_times: bool = False) -> None:
        config = {
            "message.timestamp.type": "CreateTime" if sender_times else "LogAppendTime",
            "message.timestamp.after.max.ms": str(2**63 - 1),
        }
        # After a deletion the name is taken for a moment.
        retry(
            lambda: self._admin.create_topics([NewTopic(topic, partitions, config=config)])[topic].result(10),
            RetryPolicy(20),
            KafkaException,
        )

    def spoil(self, place: TopicPartition, records: int) -> None:
        spoil(self._bootstrap_servers, place.topic, place.partition, records)

    def limit(self, topic: str, largest_bytes: int) -> None:
        entry = ConfigEntry("max.message.bytes", str(largest_bytes), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(10)

    def transact(self, place: TopicPartition, values: Sequence[bytes], *, commit: bool) -> None:
        producer = self._transactional()
        for value in values:
            producer.produce(place.topic, value, partition=place.partition)
        assert producer.flush(10) == 0
        if commit:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)

    @contextmanager
    def transaction_open(self, place: TopicPartition) -> Iterator[None]:
        producer = self._transactional()
        producer.produce(place.topic, b"open", partition=place.partition)
        assert producer.flush(10) == 0
        yield
        producer.commit_transaction(10)

    def _transactional(self) -> Producer:
        producer = Producer({"bootstrap.servers": self._bootstrap_servers, "transactional.id": str(uuid.uuid4())})
        producer.init_transactions(30)
        producer.begin_transaction()
        return producer

    def produce_raw(
        self, place: TopicPartition, value: bytes, headers: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        record = RawRecord(value, headers=headers, timestamp_ms=timestamp_ms)
        produce_raw(self._bootstrap_servers, place.topic, place.partition, [record])

    def delete(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result(10)

    def produce(self, place: TopicPartition, key: bytes | None, value: bytes | None) -> None:
        # A fresh topic may be unknown to the producer for a moment.
        self._producer.produce(place.topic, value, key, partition=place.partition)
        assert self._producer.flush(10) == 0

    def expire(self, place: TopicPartition, low: int) -> None:
        partition = KafkaPartition(place.topic, place.partition, low)
        self._admin.delete_records([partition])[partition].result(10)

    def dead_letters(self, topic: str) -> list[DeadLetter]:
        consumer = Consumer({"bootstrap.servers": self._bootstrap_servers, "group.id": "dead-letters"})
        consumer.assign([KafkaPartition(topic, 0, 0)])
        messages = consumer.consume(1, 10)
        messages += consumer.consume(100, 0.5)
        consumer.close()
        letters = []
        for message in messages:
            headers = tuple(Header(key, value) for key, value in message.headers() or [])  # type: ignore[arg-type,str-unpack]
            letters.append(DeadLetter(message.key(), message.value(), headers))
        return letters


Broker = FakeBroker | RealBroker


@pytest.fixture(params=["fake", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "fake":
        return FakeBroker()
    kafka: Kafka = request.getfixturevalue("kafka")
    return RealBroker(kafka.bootstrap_servers)


@pytest.fixture
def place() -> TopicPartition:
    return TopicPartition(f"sink-{uuid.uuid4()}", 0)


@pytest.fixture
def reading() -> Iterator[Callable[[Reader], Reader]]:
    readers: list[Reader] = []

    def keep(reader: Reader) -> Reader:
        readers.append(reader)
        return reader

    yield keep
    for reader in readers:
        reader.close()


def read(reader: Reader, enough: Callable[[Batch], bool]) -> Batch:
    """Read on until it is enough."""
    records: list[Record] = []
    failed: dict[TopicPartition, str] = {}
    ends: dict[TopicPartition, int] = {}
    unreadable: dict[TopicPartition, Unreadable] = {}
    for _ in range(READS):
        batch = reader.read(0.1)
        records += batch.records
        failed |= batch.failed
        ends |= batch.ends
        unreadable |= batch.unreadable
        if enough(so_far := Batch(records, failed, ends, unreadable)):
            return so_far
    pytest.fail(f"not enough: {len(records)} records, {failed}, {ends}, {unreadable}")


def described(broker: Broker, topic: str) -> TopicState:
    """What the broker says of a new topic, which it may not know for a moment."""
    return retry(lambda: broker.log.describe([topic])[topic], RetryPolicy(10), KeyError)


def test_a_topic_made_anew_has_another_log_id(broker: Broker, place: TopicPartition) -> None:
    assert broker.log.describe([place.topic]) == {}
    broker.create(place.topic, 2)
    described(broker, place.topic)
    first = broker.log.describe([place.topic, "none"])
    assert first == broker.log.describe([place.topic])
    assert first[place.topic].partitions == 2
    broker.delete(place.topic)
    broker.create(place.topic, 2)
    assert described(broker, place.topic).log_id != first[place.topic].log_id


def test_records_are_read_from_an_offset_on(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic)
    for value in (b"0", b"1", None):
        broker.produce(place, b"key", value)
    reader = reading(broker.log.open({place: 1}))
    batch = read(reader, lambda batch: len(batch.records) == 2)
    assert [(one.offset, one.key, one.value) for one in batch.records] == [
        (1, b"key", b"1"),
        (2, b"key", None),
    ]
    assert all(record.timestamp_ms is not None for record in batch.records)
    assert reader.end(place) == 3
    assert broker.log.watermarks(place) == (0, 3, 3)


def test_what_is_produced_later_arrives(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic)
    reader = reading(broker.log.open({place: 0}))
    assert read(reader, lambda batch: bool(batch.ends)) == Batch([], {}, {place: 0}, {})
    broker.produce(place, None, b"late")
    assert read(reader, lambda batch: bool(batch.records)).records[0].value == b"late"


@pytest.mark.parametrize("behind", [0, 2])
def test_a_batch_that_cannot_be_read_is_told_and_its_end_is_found(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader], behind: int
) -> None:
    broker.create(place.topic)
    for number in range(2):
        broker.produce(place, None, b"%d" % number)
    broker.spoil(place, 5)
    for number in range(behind):
        broker.produce(place, None, b"%d" % number)
    reader = reading(broker.log.open({place: 0}))
    batch = read(reader, lambda batch: bool(batch.unreadable))
    assert [record.offset for record in batch.records] == [0, 1]
    assert (batch.unreadable[place].first, batch.failed, batch.ends) == (2, {}, {})
    assert reader.read(0.5) == Batch([], {}, {}, {}), "it gives no more"
    high = broker.log.watermarks(place).high
    assert high == 7 + behind
    inside = read(reading(broker.log.open({place: 4})), lambda batch: bool(batch.unreadable))
    assert inside.records == []
    for found in (batch.unreadable[place], inside.unreadable[place]):
        assert broker.log.behind(place, found, high) == 7
    rest = read(reading(broker.log.open({place: 7})), lambda batch: bool(batch.ends))
    assert [record.offset for record in rest.records] == list(range(7, high))


def test_paused_partitions_are_silent(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic, 2)
    other = TopicPartition(place.topic, 1)
    reader = reading(broker.log.open({place: 0, other: 0}))
    reader.pause([place])
    broker.produce(place, None, b"paused")
    broker.produce(other, None, b"heard")
    assert [record.place for record in read(reader, lambda batch: bool(batch.records)).records] == [other]
    reader.resume([place])
    assert [record.value for record in read(reader, lambda batch: bool(batch.records)).records] == [b"paused"]


@pytest.mark.parametrize("position", [0, 5])
def test_an_offset_outside_the_log_fails_by_name(
    broker: Broker, place: TopicPartition, position: int, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic)
    for value in (b"0", b"1", b"2"):
        broker.produce(place, None, value)
    broker.expire(place, 2)
    reader = reading(broker.log.open({place: position}))
    batch = read(reader, lambda batch: bool(batch.failed))
    assert (batch.records, list(batch.failed)) == ([], [place])
    assert broker.log.watermarks(place) == (2, 3, 3)


def test_the_end_passes_markers_and_what_was_aborted(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic)
    reader = reading(broker.log.open({place: 0}))
    broker.transact(place, [b"0", b"1"], commit=True)
    batch = read(reader, lambda batch: batch.ends.get(place) == 3)
    assert [(one.offset, one.value) for one in batch.records] == [(0, b"0"), (1, b"1")]
    broker.transact(place, [b"3", b"4"], commit=False)
    assert read(reader, lambda batch: batch.ends.get(place) == 6).records == []
    broker.produce(place, None, b"6")
    batch = read(reader, lambda batch: batch.ends.get(place) == 7)
    assert [(one.offset, one.value) for one in batch.records] == [(6, b"6")]
    again = reading(broker.log.open({place: 2}))
    assert [one.offset for one in read(again, lambda batch: batch.ends.get(place) == 7).records] == [6]
    assert broker.log.watermarks(place) == (0, 7, 7)


def test_nothing_is_read_behind_an_open_transaction(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic)
    broker.produce(place, None, b"before")
    reader = reading(broker.log.open({place: 0}))
    with broker.transaction_open(place):
        broker.produce(place, None, b"behind")
        batch = read(reader, lambda batch: batch.ends.get(place) == 1)
        assert [one.value for one in batch.records] == [b"before"]
        assert broker.log.watermarks(place) == (0, 3, 1)
        assert reader.end(place) in {1, 2, 3}
    batch = read(reader, lambda batch: batch.ends.get(place) == 4)
    assert [one.value for one in batch.records] == [b"open", b"behind"]
    assert reader.end(place) == 4


def test_headers_are_read_on_demand_and_may_be_unreadable(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic)
    broker.produce_raw(place, b"0", [(b"k", b"\xff"), (b"none", None)], 0)
    broker.produce_raw(place, b"1", [(b"\xff", b"v")], 0)
    broker.produce_raw(place, b"2", [], 0)
    reader = reading(broker.log.open({place: 0}))
    good, bad, none = read(reader, lambda batch: len(batch.records) == 3).records
    assert good.read_headers() == (Header("k", b"\xff"), Header("none", None))
    assert (bad.value, none.read_headers()) == (b"1", ())
    with pytest.raises(HeadersError):
        bad.read_headers()


@pytest.mark.parametrize("milliseconds", [0, -(2**63) + 5, 2**63 - 1])
def test_any_senders_time_is_read_and_told_from_the_logs(
    broker: Broker, place: TopicPartition, milliseconds: int, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic, sender_times=True)
    broker.produce_raw(place, b"0", [], milliseconds)
    reader = reading(broker.log.open({place: 0}))
    (record,) = read(reader, lambda batch: bool(batch.records)).records
    assert (record.timestamp_ms, record.sender_time) == (milliseconds, True)


def test_the_logs_own_times_are_no_senders(
    broker: Broker, place: TopicPartition, reading: Callable[[Reader], Reader]
) -> None:
    broker.create(place.topic)
    broker.produce(place, None, b"0")
    reader = reading(broker.log.open({place: 0}))
    assert not read(reader, lambda batch: bool(batch.records)).records[0].sender_time


def test_dead_letters_keep_bytes_and_headers(broker: Broker, place: TopicPartition) -> None:
    broker.create(place.topic)
    letters = [
        DeadLetter(b"\xff", b"\x00", (Header("a", b"1"), Header("none", None), Header("a", b"2"))),
        DeadLetter(None, None, ()),
    ]
    broker.log.dead_letter(place.topic, letters)
    assert broker.dead_letters(place.topic) == letters


def test_letters_that_are_too_large_are_named_and_the_others_are_stored(broker: Broker, place: TopicPartition) -> None:
    broker.create(place.topic)
    broker.limit(place.topic, 30_000)
    # Bytes that no compression makes smaller; the small ones together are over the limit, too.
    small = [DeadLetter(b"%d" % number, random.Random(number).randbytes(5_000), ()) for number in range(10)]
    large = [DeadLetter(b"large", random.Random(number).randbytes(50_000), ()) for number in range(2)]
    with pytest.raises(LettersTooLargeError) as caught:
        broker.log.dead_letter(place.topic, [large[0], *small, large[1]])
    assert caught.value.numbers == {0, 11}
    stored = {letter.key: letter for letter in broker.dead_letters(place.topic)}
    assert sorted(stored.values(), key=lambda one: one.key or b"") == small


def test_dead_letters_without_a_topic_fail(broker: Broker) -> None:
    with pytest.raises(LogUnavailableError):
        broker.log.dead_letter(f"none-{uuid.uuid4()}", [DeadLetter(None, b"", ())])


@pytest.mark.parametrize("kind", ["fake", "kafka"])
def test_the_broker_is_away(kind: str) -> None:
    log: Log
    if kind == "fake":
        log = fake = FakeLog()
        fake.available = False
    else:
        log = KafkaLog(f"127.0.0.1:{free_port()}", "test", 1)
    place = TopicPartition("a", 0)
    with pytest.raises(LogUnavailableError):
        log.describe(["a"])
    with pytest.raises(LogUnavailableError):
        log.watermarks(place)
    with pytest.raises(LogUnavailableError):
        log.dead_letter("a", [DeadLetter(None, b"", ())])
    reader = log.open({place: 0})
    assert reader.read(0.2) == Batch([], {}, {}, {})
    reader.close()
