"""Bytes in Kafka, as no producer of ours writes them: any value, key, header, time; transactions; control records."""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer
from pipeline_contracts.names import KINDS, TOPIC_PARTITIONS
from raw_kafka import RawRecord, produce_raw

from fuzzing import odd
from fuzzing.case import Case
from fuzzing.place import Place

TIMES = (0, -1, 1_700_000_000_007, 253_402_300_800_000, 2**62, -(2**62))
DEADLINE_S = 30.0
OPEN_MS = 3_000
"""After this the broker aborts a transaction that nobody ended."""


@dataclass(frozen=True)
class Raw:
    """One batch that is written by hand."""

    place: Place
    topic: str
    partition: int
    records: list[RawRecord]

    @property
    def sent(self) -> bytes:
        """Topic, partition and records."""
        return repr((self.topic, self.partition, self.records)).encode()

    def run(self) -> list[str]:
        """Store it. What the broker refuses is in no log."""
        with suppress(RuntimeError):
            produce_raw(self.place.kafka, self.topic, self.partition, self.records)
        return []

    def smaller(self) -> Iterator[Case]:
        """What is stored stays."""
        return iter(())


@dataclass(frozen=True)
class Transaction:
    """Records of one transaction: committed, aborted, or left to the broker, which aborts it."""

    place: Place
    topic: str
    values: list[bytes]
    end: str
    packed: str

    @property
    def sent(self) -> bytes:
        """Topic, values, how it ends."""
        return repr((self.topic, self.values, self.end, self.packed)).encode()

    def run(self) -> list[str]:
        """Write it, with its markers."""
        producer = Producer(
            {
                "bootstrap.servers": self.place.kafka,
                "transactional.id": f"fuzz-{self.topic}",
                "transaction.timeout.ms": OPEN_MS,
                "compression.type": self.packed,
                "log_level": 0,
            }
        )
        try:
            producer.init_transactions(DEADLINE_S)
            producer.begin_transaction()
            for value in self.values:
                producer.produce(self.topic, value, partition=0)
            producer.flush(DEADLINE_S)
            if self.end == "commit":
                producer.commit_transaction(DEADLINE_S)
            elif self.end == "abort":
                producer.abort_transaction(DEADLINE_S)
        except KafkaException as error:
            return [] if error.args[0].retriable() or error.args[0].txn_requires_abort() else [f"Kafka: {error}"]
        return []

    def smaller(self) -> Iterator[Case]:
        """What is stored stays."""
        return iter(())


class KafkaBytes:
    """The event topics, and the dead letters' own."""

    pause_s = 0.25

    def __init__(self, place: Place) -> None:
        self._place = place

    def case(self, chance: random.Random) -> Case:
        """A batch, or now and then a transaction."""
        kind = chance.choice(KINDS)
        topic = self._place.names.topic(kind)
        if chance.random() < 0.15:
            values = [odd.payload(chance, kind) for _ in range(chance.randrange(4))]
            end = chance.choice(("commit", "commit", "abort", "abort", "nothing"))
            return Transaction(
                self._place, topic, values, end, chance.choice(("none", "gzip", "snappy", "lz4", "zstd"))
            )
        if chance.random() < 0.05:
            return Raw(self._place, self._place.names.dead_letter_topic, 0, [record(chance, b"\xff")])
        records = [record(chance, odd.payload(chance, kind)) for _ in range(chance.randrange(1, 5))]
        return Raw(self._place, topic, chance.randrange(TOPIC_PARTITIONS), records)


def record(chance: random.Random, value: bytes) -> RawRecord:
    """One with this value, or none; any key, headers and time."""
    headers = [
        (chance.choice(odd.JUNK)[:200], chance.choice((None, *odd.JUNK))) for _ in range(chance.choice((0, 0, 0, 1, 3)))
    ]
    key = chance.choice(
        (None, b"1", b"900000001", chance.choice(odd.JUNK), odd.text(chance).encode("utf-8", "replace"))
    )
    return RawRecord(chance.choice((value, value, value, value, None)), key, headers, chance.choice(TIMES))
