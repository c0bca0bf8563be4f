"""The adapter around a client that does what the test says; integration tests have the real one."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from ingest_proxy.envelope import Record
from ingest_proxy.producer import KafkaSender
from ingest_proxy.settings import ProxySettings
from waiting import wait_until

Report = Callable[[KafkaError | None, Any], None]


class Message:
    def __init__(self, partition: int, offset: int | None) -> None:
        self._place = partition, offset

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int | None:
        return self._place[1]


class Client:
    """The part of ``confluent_kafka.Producer`` that is used. ``answer`` decides on each value's report."""

    def __init__(self, config: dict[str, Any], room: int, answer: Callable[[bytes], KafkaError | int | None]) -> None:
        self.config = config
        self.purged = False
        self.stuck = False
        self.poll_error: Exception | None = None
        self._room = room
        self._answer = answer
        self._lock = threading.Condition()
        self._waiting: list[tuple[bytes, Report]] = []

    def produce(self, topic: str, value: bytes, key: bytes | None, partition: int, on_delivery: Report) -> None:
        if self._room == 0:
            raise BufferError
        if value == b"large":
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self._room -= 1
        with self._lock:
            self._waiting.append((value, on_delivery))
            self._lock.notify()

    def poll(self, timeout: float) -> int:
        with self._lock:
            self._lock.wait_for(lambda: self._waiting, 0.01)
            if self.poll_error is not None:
                error, self.poll_error = self.poll_error, None
                raise error
            if self.stuck and not self.purged:
                return 0
            reports, self._waiting = self._waiting, []
        for value, report in reports:
            if value == b"silent":
                continue
            outcome = KafkaError(KafkaError._PURGE_INFLIGHT) if self.purged else self._answer(value)
            if isinstance(outcome, KafkaError):
                report(outcome, Message(0, None))
            else:
                report(None, Message(0, outcome))
        return len(reports)

    def flush(self, timeout: float) -> int:
        return len(self)

    def purge(self, blocking: bool) -> None:
        self.purged = True

    def __len__(self) -> int:
        return len(self._waiting)


class Clients:
    """Makes clients and remembers them."""

    def __init__(self) -> None:
        self.made: list[Client] = []
        self.room = 1000
        self.answer: Callable[[bytes], KafkaError | int | None] = int

    def __call__(self, config: dict[str, Any]) -> Producer:
        self.made.append(Client(config, self.room, self._now))
        return cast("Producer", self.made[-1])

    def _now(self, value: bytes) -> KafkaError | int | None:
        return self.answer(value)


@pytest.fixture
def clients() -> Clients:
    return Clients()


@pytest.fixture
def senders(clients: Clients, settings: ProxySettings) -> Iterator[list[KafkaSender]]:
    made: list[KafkaSender] = []
    yield made
    for sender in made:
        sender.close()


@pytest.fixture
def start(clients: Clients, settings: ProxySettings, senders: list[KafkaSender]) -> Callable[[], KafkaSender]:
    def make() -> KafkaSender:
        senders.append(KafkaSender(settings, clients))
        return senders[-1]

    return make


def send(sender: KafkaSender, *values: bytes, seconds: float = 5) -> list[tuple[int | None, int | None]]:
    records = [Record(None, value) for value in values]
    outcomes = sender.send("t", "A", records, time.monotonic() + seconds).outcomes
    return [(outcome.offset, outcome.error_code) for outcome in outcomes]


def test_each_record_has_its_own_outcome(start: Callable[[], KafkaSender], clients: Clients) -> None:
    failures = {b"1": KafkaError(KafkaError._MSG_TIMED_OUT), b"2": KafkaError(KafkaError.INVALID_RECORD)}
    clients.answer = lambda value: failures.get(value) or int(value)
    assert send(start(), b"7", b"1", b"large", b"2", b"9") == [(7, None), (None, 2), (None, 1), (None, 1), (9, None)]


def test_the_client_is_idempotent_and_waits_for_all(start: Callable[[], KafkaSender], clients: Clients) -> None:
    start()
    config = clients.made[0].config
    assert (config["acks"], config["enable.idempotence"], config["partitioner"]) == ("all", True, "murmur2_random")
    assert config["delivery.timeout.ms"] < 25_000


def test_after_the_first_refusal_none_is_handed_over(start: Callable[[], KafkaSender], clients: Clients) -> None:
    clients.room = 2
    assert send(start(), b"1", b"2", b"3", b"4") == [(1, None), (2, None), (None, 2), (None, 2)]
    assert send(start(), b"1", b"2") == [(1, None), (2, None)], "another client has room"


def test_nothing_handed_over(start: Callable[[], KafkaSender], clients: Clients) -> None:
    clients.room = 0
    assert send(start(), b"1", b"2") == [(None, 2), (None, 2)]


def test_no_report_in_time_is_an_unknown_outcome(start: Callable[[], KafkaSender]) -> None:
    begun = time.monotonic()
    assert send(start(), b"1", b"silent", b"3", seconds=0.2) == [(1, None), (None, 2), (3, None)]
    assert time.monotonic() - begun < 2


def test_stored_at_an_unknown_offset_is_an_unknown_outcome(start: Callable[[], KafkaSender], clients: Clients) -> None:
    clients.answer = lambda value: None if value == b"1" else -1001
    assert send(start(), b"1", b"2") == [(None, 2), (None, 2)]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest_proxy.producer._BETWEEN_CLIENTS_S", 0.0)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "out of order", fatal=True),
        KafkaError(KafkaError._FATAL),
        KafkaError(KafkaError._ALL_BROKERS_DOWN),
    ],
    ids=lambda error: error.name(),
)
def test_a_client_that_cannot_go_on_is_replaced(
    start: Callable[[], KafkaSender], clients: Clients, error: KafkaError
) -> None:
    sender = start()
    first = clients.made[0]
    first.config["error_cb"](KafkaError(KafkaError._TRANSPORT))
    assert send(sender, b"4") == [(4, None)]
    assert len(clients.made) == 1, "librdkafka recovers from this by itself"
    first.config["error_cb"](error)
    assert first.purged
    assert send(sender, b"5") == [(5, None)]
    assert len(clients.made) == 2
    assert not clients.made[1].purged


@pytest.mark.usefixtures("no_pause")
def test_a_fatal_error_while_polling(start: Callable[[], KafkaSender], clients: Clients) -> None:
    sender = start()
    clients.made[0].poll_error = KafkaException(KafkaError(KafkaError._FATAL))
    wait_until("the client is given up", lambda: clients.made[0].purged, poll_s=0.005)
    assert send(sender, b"5") == [(5, None)]


def test_a_defect_while_polling_ends_no_reports(start: Callable[[], KafkaSender], clients: Clients) -> None:
    sender = start()
    clients.made[0].poll_error = RuntimeError("a defect")
    assert send(sender, b"5") == [(5, None)]
    assert clients.made[0].poll_error is None
    assert len(clients.made) == 1


def test_clients_are_not_made_faster_than_a_broker_can_come_back(
    start: Callable[[], KafkaSender], clients: Clients
) -> None:
    sender = start()
    clients.made[0].config["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert send(sender, b"1", b"2") == [(None, 2), (None, 2)]
    assert len(clients.made) == 1
    sender.renew()
    assert send(sender, b"1", b"2") == [(1, None), (2, None)], "told that Kafka is there"


@pytest.mark.usefixtures("no_pause")
def test_what_a_client_held_when_it_was_given_up_is_unknown(start: Callable[[], KafkaSender], clients: Clients) -> None:
    sender = start()
    clients.made[0].stuck = True
    results: list[list[tuple[int | None, int | None]]] = []
    waiting = threading.Thread(target=lambda: results.append(send(sender, b"1")))
    waiting.start()
    wait_until("the client holds it", lambda: len(clients.made[0]), poll_s=0.005)
    sender.renew()
    waiting.join(5)
    assert results == [[(None, 2)]]


def test_many_threads_get_their_own_outcomes(start: Callable[[], KafkaSender]) -> None:
    sender = start()
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(20):
            offsets = [number * 1000 + turn * 10 + n for n in range(10)]
            got = send(sender, *(str(offset).encode() for offset in offsets))
            if got != [(offset, None) for offset in offsets]:
                wrong.append(got)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert wrong == []
