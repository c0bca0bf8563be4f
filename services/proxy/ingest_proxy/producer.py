"""Records to Kafka: every one handed over is awaited, and its own outcome is told.

The producer is idempotent, asks for all acknowledgements and never blocks when its queue is full.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from pipeline_contracts.proxy import NOT_RETRIABLE, RETRIABLE, ProducedRecord

from ingest_proxy.envelope import Record
from ingest_proxy.settings import ProxySettings
from ingest_proxy.tails import Tails

logger = logging.getLogger(__name__)

UNKNOWN: Final = ProducedRecord(None, None, RETRIABLE, "No outcome in time: it may or may not be stored; send it again")
"""For a record that Kafka may still store."""

_KAFKA_CHOOSES = -1
_POLL_S = 0.2
_KEY_ROOM_BYTES = 4096
_BETWEEN_CLIENTS_S = 1.0

# Sending such a record again gives the same answer. Everything else may pass: an outage, a full disk, a
# missing right that is granted later.
_SENDERS_FAULT = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError._UNKNOWN_PARTITION,
}


class Sender(Protocol):
    """Where records go."""

    def send(self, topic: str, log_id: str, records: Sequence[Record], deadline: float) -> "Sent":
        """Hand over and wait for every outcome, until ``deadline`` (on the monotonic clock).

        ``log_id`` is the topic's as far as the caller knows. Records are handed over in order; once one
        finds the queue full, it and those after it are refused as retriable, so that none overtakes another.
        """


class Sent(Protocol):
    """What became of the records of one ``send``."""

    @property
    def outcomes(self) -> list[ProducedRecord]:
        """An entry per record, in order."""

    @property
    def certain(self) -> bool:
        """Whether every acknowledged offset is known to be of the caller's log."""

    def confirm(self) -> None:
        """To be called when the broker has named the caller's ``log_id`` again, after this ``send``."""


ClientFactory = Callable[[dict[str, object]], Producer]


def client_config(settings: ProxySettings) -> dict[str, object]:
    """What the Kafka client is told."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "ingest-proxy",
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": settings.linger_ms,
        "delivery.timeout.ms": settings.delivery_timeout_ms,
        "message.max.bytes": settings.max_record_bytes + _KEY_ROOM_BYTES,
        "queue.buffering.max.messages": settings.queue_max_records,
        "queue.buffering.max.kbytes": settings.queue_max_kbytes,
        "reconnect.backoff.max.ms": 500,
        "socket.connection.setup.timeout.ms": 2000,
        **settings.login,
    }


class KafkaSender:
    """``Sender`` to a real cluster, safe for many threads.

    A client that lost every broker, or met a fatal error, is given up at once: what it holds is told as unknown,
    and the next ``send`` uses a new client. It must not go on by itself: a cluster that was wiped meanwhile
    gives out the same producer ids again, and takes a new client's first batch for the old one's repetition.
    """

    def __init__(self, settings: ProxySettings, new_client: ClientFactory | None = None) -> None:
        self._config = client_config(settings)
        self._new_client = new_client or _new_client
        self._drain_s = settings.delivery_timeout_ms / 1000 + 2
        self._opening = threading.Lock()
        self._link = self._open()

    def send(self, topic: str, log_id: str, records: Sequence[Record], deadline: float) -> "_Pending":
        """Hand over and wait, as ``Sender`` says."""
        link = self._usable()
        pending = _Pending(len(records), log_id, link.tails(topic))
        report = pending.report
        produce = link.client.produce
        accepted = 0
        for index, (key, value, chosen) in enumerate(records):
            if link.given_up:
                pending.refuse_from(index, "Kafka is away")
                break
            try:
                produce(
                    topic,
                    value,
                    key,
                    _KAFKA_CHOOSES if chosen is None else chosen,
                    on_delivery=partial(report, index),
                )
            except BufferError:
                pending.refuse_from(index, "The proxy's queue is full")
                break
            except KafkaException as error:
                pending.refuse(index, error.args[0])
                if error.args[0].code() == KafkaError._FATAL:
                    link.look_at(error.args[0])
            else:
                accepted += 1
        pending.wait(accepted, deadline)
        return pending

    def renew(self) -> None:
        """Give up the client, for example because a topic was recreated. Does not block."""
        self._link.opened_at -= _BETWEEN_CLIENTS_S  # Kafka is there: no need to wait with the next
        self._link.give_up()

    def close(self) -> None:
        """Wait for what is under way, within the delivery timeout, and end."""
        left = self._link.client.flush(self._drain_s)
        self._link.give_up()
        self._link.join()
        if left:
            logger.error("records without an outcome at the end", extra={"records": left})

    def _usable(self) -> "_Link":
        link = self._link
        if not link.given_up or time.monotonic() - link.opened_at < _BETWEEN_CLIENTS_S:
            return link
        with self._opening:
            if self._link is link:
                self._link = self._open()
            return self._link

    def _open(self) -> "_Link":
        link = _Link()
        link.start(self._new_client({**self._config, "error_cb": link.look_at}))
        return link


class _Link:
    """One client and the thread that takes its delivery reports, until it is given up and holds nothing."""

    client: Producer

    def __init__(self) -> None:
        self.given_up = False
        self.opened_at = time.monotonic()
        self._tails: dict[str, Tails] = {}
        self._thread = threading.Thread(target=self._run, name="delivery-reports", daemon=True)

    def start(self, client: Producer) -> None:
        self.client = client
        self._thread.start()

    def tails(self, topic: str) -> Tails:
        return self._tails.get(topic) or self._tails.setdefault(topic, Tails())

    def look_at(self, error: KafkaError) -> None:
        """Every error of the client as a whole; librdkafka recovers by itself from all but these."""
        if self.given_up:
            return
        if error.fatal() or error.code() in {KafkaError._FATAL, KafkaError._ALL_BROKERS_DOWN}:
            logger.error("kafka client given up", extra={"code": error.name(), "reason": error.str()})
            self.give_up()
        else:
            logger.warning("kafka client error", extra={"code": error.name(), "reason": error.str()})

    def give_up(self) -> None:
        """Send nothing more; what is held gets its (unknown) outcome now."""
        self.given_up = True
        self.client.purge(blocking=False)

    def join(self) -> None:
        self._thread.join(timeout=5 * _POLL_S)

    def _run(self) -> None:
        while not self.given_up or len(self.client):
            try:
                self._take_reports()
            except Exception:  # the thread's outermost frame: without it, no request would learn its outcome any more
                logger.exception("taking delivery reports failed unexpectedly")
                time.sleep(_POLL_S)

    def _take_reports(self) -> None:
        try:
            self.client.poll(_POLL_S)
        except KafkaException as error:  # this is how a fatal error comes
            self.look_at(error.args[0])
        if self.given_up:
            # Also what a request handed over after it was given up.
            self.client.purge(blocking=False)


class _Pending:
    """Outcomes of one request, filled by the delivery thread, awaited by the request's.

    ``_reported`` is written by the delivery thread alone, ``_expected`` by the request's alone; whoever
    makes them equal ends the wait. A raw lock, because an Event costs more than all the rest here.
    """

    __slots__ = ("_done", "_expected", "_log_id", "_marks", "_outcomes", "_reported", "_tails", "outcomes")

    def __init__(self, records: int, log_id: str, tails: Tails) -> None:
        self.outcomes: list[ProducedRecord] = []
        self._outcomes: list[ProducedRecord | None] = [None] * records
        self._log_id = log_id
        self._tails = tails
        self._marks: dict[int, int] = {}
        self._expected = -1
        self._reported = 0
        self._done = threading.Lock()
        self._done.acquire()

    @property
    def certain(self) -> bool:
        return not self._marks

    def confirm(self) -> None:
        # A copy: after a timeout, late reports may still add to it.
        self._tails.confirm(self._log_id, dict(self._marks))

    def report(self, index: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._outcomes[index] = self._stored(message.partition(), message.offset())
        else:
            self._outcomes[index] = _failed(error)
        self._reported += 1
        if self._reported == self._expected:
            self._done.release()

    def refuse(self, index: int, error: KafkaError) -> None:
        self._outcomes[index] = _failed(error)

    def refuse_from(self, index: int, reason: str) -> None:
        refused = ProducedRecord(None, None, RETRIABLE, f"{reason}; send it again")
        self._outcomes[index:] = [refused] * (len(self._outcomes) - index)

    def wait(self, accepted: int, deadline: float) -> None:
        self._expected = accepted
        if self._reported != accepted:
            self._done.acquire(timeout=max(0.0, deadline - time.monotonic()))
        self.outcomes = [UNKNOWN if outcome is None else outcome for outcome in self._outcomes]

    def _stored(self, partition: int | None, offset: int | None) -> ProducedRecord:
        if partition is None or offset is None or offset < 0:
            # Stored by an earlier try whose answer was lost: its offset is not known.
            return UNKNOWN
        if not self._tails.follows(partition, offset, self._log_id):
            self._marks[partition] = self._tails.doubt(partition, offset)
        return ProducedRecord(partition, offset, None, None)


def _failed(error: KafkaError) -> ProducedRecord:
    code = NOT_RETRIABLE if error.code() in _SENDERS_FAULT else RETRIABLE
    return ProducedRecord(None, None, code, error.str())


def _new_client(config: dict[str, object]) -> Producer:
    return Producer(config, logger=logging.getLogger("ingest_proxy.kafka"))
