"""A cluster in memory: the real interfaces without a broker, for tests of all that stands before it.

``tests/integration/test_proxy_conformance.py`` runs one suite on this and on Kafka.
"""

import threading
import time
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import Names
from pipeline_contracts.proxy import NOT_RETRIABLE, RETRIABLE, ProducedRecord

from ingest_proxy.envelope import Record
from ingest_proxy.errors import UnavailableError
from ingest_proxy.tails import Tails
from ingest_proxy.topics import Partition, Reading, Replica, Topic


@dataclass
class MemorySent:
    """``Sent`` of the memory cluster."""

    outcomes: list[ProducedRecord]
    tails: Tails
    log_id: str
    marks: dict[int, int]

    @property
    def certain(self) -> bool:
        """Whether every offset follows on a confirmed one."""
        return not self.marks

    def confirm(self) -> None:
        """The log was named again."""
        self.tails.confirm(self.log_id, self.marks)


class MemoryCluster:
    """``Topics`` and ``Sender`` over lists. ``away`` is an outage; ``room`` is what the queue still takes."""

    def __init__(self, names: Names, max_record_bytes: int) -> None:
        self.away = False
        self.room: int | None = None
        self._max_record_bytes = max_record_bytes
        self._specs = {spec.name: spec for spec in topic_specs(names) if spec.name in names.topics}
        self._lock = threading.Lock()
        self._logs: dict[str, list[list[Record]]] = {}
        self._ids: dict[str, str] = {}
        self._tails: dict[str, Tails] = {}
        for topic in self._specs:
            self.make_anew(topic)

    def make_anew(self, topic: str) -> None:
        """The topic is deleted and created: empty, with another id."""
        self._logs[topic] = [[] for _ in range(self._specs[topic].partitions)]
        self._ids[topic] = uuid.uuid4().hex[:22]
        self._tails[topic] = Tails()

    def stored(self, topic: str) -> list[Record]:
        """Every record, each with its partition, in the order of partition and offset."""
        logs = enumerate(self._logs[topic])
        return [record._replace(partition=number) for number, log in logs for record in log]

    def latest(self) -> Reading:
        """The same as ``read_now``; nothing is old here."""
        return self.read_now()

    def read_now(self) -> Reading:
        """All topics."""
        self._check_up()
        topics = {name: Topic(name, self._ids[name], self._partitions(name)) for name in self._logs}
        return Reading(time.monotonic(), topics)

    def configuration(self, topic: str) -> dict[str, str | None]:
        """The settings of ``pipeline_contracts.kafka_topics``."""
        self._check_up()
        return dict(sorted(self._specs[topic].config.items()))

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        """Nothing is ever deleted here."""
        self._check_up()
        return 0, len(self._logs[topic][partition])

    def brokers(self) -> list[int]:
        """One."""
        self._check_up()
        return [1]

    def send(self, topic: str, log_id: str, records: Sequence[Record], deadline: float) -> MemorySent:  # noqa: ARG002
        """Store at once."""
        sent = MemorySent([], self._tails[topic], log_id, {})
        with self._lock:
            for record in records:
                sent.outcomes.append(self._append(topic, record, sent))
        return sent

    def _append(self, topic: str, record: Record, sent: MemorySent) -> ProducedRecord:
        if self.away:
            return ProducedRecord(None, None, RETRIABLE, "Local: Message timed out")
        if self.room == 0:
            return ProducedRecord(None, None, RETRIABLE, "The proxy's queue is full; send it again")
        if len(record.key or b"") + len(record.value or b"") > self._max_record_bytes + 4096:
            return ProducedRecord(None, None, NOT_RETRIABLE, "Broker: Message size too large")
        if self.room is not None:
            self.room -= 1
        logs = self._logs[topic]
        chosen = zlib.crc32(record.key or b"") % len(logs) if record.partition is None else record.partition
        logs[chosen].append(record)
        offset = len(logs[chosen]) - 1
        if not sent.tails.follows(chosen, offset, sent.log_id):
            sent.marks[chosen] = sent.tails.doubt(chosen, offset)
        return ProducedRecord(chosen, offset, None, None)

    def _partitions(self, topic: str) -> tuple[Partition, ...]:
        here = (Replica(1, leader=True, in_sync=True),)
        return tuple(Partition(number, 1, here) for number in range(len(self._logs[topic])))

    def _check_up(self) -> None:
        if self.away:
            raise UnavailableError("Kafka does not answer; send the request again")
