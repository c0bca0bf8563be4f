"""The event topics as the broker knows them now: ids, partitions, and whether it answers at all.

One thread asks the broker each second, and at once when a request wants to know; requests that ask while
a question is under way share the next one. So the cost does not grow with the number of requests.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, OffsetSpec

from ingest_proxy.errors import UnavailableError

logger = logging.getLogger(__name__)

_REFRESH_S = 1.0
_READ_TIMEOUT_S = 2.0
_OLD_S = 10.0
"""More than two readings take that both fail: what is older is not believed, for the thread hangs or fails."""
# A pause between two readings under load: more requests share each.
_BETWEEN_READINGS_S = 0.002
_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Replica:
    """One broker that holds a partition."""

    broker: int
    leader: bool
    in_sync: bool


@dataclass(frozen=True)
class Partition:
    """One partition. ``leader`` is -1 while there is none."""

    partition: int
    leader: int
    replicas: tuple[Replica, ...]


@dataclass(frozen=True)
class Topic:
    """One topic of one life: recreated under its old name it has another ``log_id``."""

    name: str
    log_id: str
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Reading:
    """What the broker said once: the event topics that it has, or why it said nothing.

    ``at`` is when it was asked, on the monotonic clock.
    """

    at: float
    topics: Mapping[str, Topic] = field(default_factory=dict)
    problem: str | None = None


class Topics(Protocol):
    """The event topics of this deployment. Every method may raise ``UnavailableError``."""

    def latest(self) -> Reading:
        """The newest reading, about a second old where the broker answers. Blocks only before the first one."""

    def read_now(self) -> Reading:
        """A reading that began after this call. Blocks for one round trip, two seconds at most."""

    def configuration(self, topic: str) -> dict[str, str | None]:
        """The settings that were made for this topic. Blocks for two seconds at most."""

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset in the log and the one after its last. Blocks for two seconds at most."""

    def brokers(self) -> list[int]:
        """Ids of all brokers. Blocks for two seconds at most."""


class KafkaTopics:
    """``Topics`` of a real cluster.

    ``on_new_log`` is called when a topic was recreated, before any reader sees its new id. ``login`` comes from
    ``login.py``.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        names: list[str],
        on_new_log: Callable[[], None],
        login: Mapping[str, Any] | None = None,
    ) -> None:
        self._names = names
        self._on_new_log = on_new_log
        self._admin = AdminClient(
            {
                "bootstrap.servers": bootstrap_servers,
                "client.id": "ingest-proxy-topics",
                "reconnect.backoff.max.ms": 500,
                "socket.connection.setup.timeout.ms": 2000,
                **(login or {}),
            },
            logger=logging.getLogger("ingest_proxy.kafka"),
        )
        self._known: dict[str, str] = {}
        self._latest: Reading | None = None
        self._mutex = threading.Lock()
        self._waiting: list[_Question] = []
        self._asked = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="topics", daemon=True)
        self._thread.start()

    def latest(self) -> Reading:
        """The newest reading; raises ``UnavailableError`` when the broker did not answer it, or too long ago."""
        reading = self._latest
        if reading is None:
            return self.read_now()
        age_s = time.monotonic() - reading.at
        if age_s > _OLD_S:
            raise UnavailableError(f"The topics were last read {age_s:.0f} s ago; send the request again")
        return _checked(reading)

    def read_now(self) -> Reading:
        """Ask the broker now, together with all who ask meanwhile."""
        question = _Question()
        with self._mutex:
            self._waiting.append(question)
        self._asked.set()
        # The reading under way may take its whole timeout before this one begins.
        if not question.answered.acquire(timeout=2 * _READ_TIMEOUT_S) or question.reading is None:
            raise UnavailableError("Kafka does not answer; send the request again")
        return _checked(question.reading)

    def configuration(self, topic: str) -> dict[str, str | None]:
        """The settings that differ from the broker's defaults."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        entries = _result(self._admin.describe_configs([resource], request_timeout=_READ_TIMEOUT_S)[resource])
        made = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        return {name: entry.value for name, entry in sorted(entries.items()) if entry.source == made}

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        """The low and the high watermark."""
        place = TopicPartition(topic, partition)
        first, last = (
            _result(self._admin.list_offsets({place: spec}, request_timeout=_READ_TIMEOUT_S)[place]).offset
            for spec in (_EARLIEST, _LATEST)
        )
        return first, last

    def brokers(self) -> list[int]:
        """Ids of the brokers that are up."""
        cluster = _result(self._admin.describe_cluster(request_timeout=_READ_TIMEOUT_S))
        return sorted(node.id for node in cluster.nodes)

    def close(self) -> None:
        """End the thread; blocks for one reading at most."""
        self._closed = True
        self._asked.set()
        self._thread.join(timeout=2 * _READ_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closed:
            began = time.monotonic()
            self._asked.clear()
            with self._mutex:
                questions, self._waiting = self._waiting, []
            reading = self._next(began)
            for question in questions:
                question.reading = reading
                question.answered.release()
            self._asked.wait(_REFRESH_S)
            pause_s = _REFRESH_S if reading is None else _BETWEEN_READINGS_S
            time.sleep(max(0.0, began + pause_s - time.monotonic()))

    def _next(self, now: float) -> Reading | None:
        """Read and take over; None where that fails by a defect."""
        try:
            reading = self._read(now)
            self._notice(reading)
        except Exception:  # the thread's outermost frame: without it, requests are served by the last reading for ever
            logger.exception("reading the topics failed unexpectedly")
            return None
        self._latest = reading
        return reading

    def _read(self, now: float) -> Reading:
        try:
            futures = self._admin.describe_topics(TopicCollection(self._names), request_timeout=_READ_TIMEOUT_S)
            found = {name: _topic(name, future) for name, future in futures.items()}
        except (KafkaException, TimeoutError) as error:
            return Reading(now, problem=str(error.args[0]) if error.args else type(error).__name__)
        return Reading(now, {name: topic for name, topic in found.items() if topic is not None})

    def _notice(self, reading: Reading) -> None:
        before = self._latest
        if reading.problem is not None and (before is None or before.problem is None):
            logger.warning("kafka does not answer", extra={"problem": reading.problem})
        if reading.problem is None and before is not None and before.problem is not None:
            logger.info("kafka answers again")
        anew = False
        for name, topic in reading.topics.items():
            known = self._known.get(name, topic.log_id)
            if known != topic.log_id:
                logger.warning("topic was recreated", extra={"topic": name, "log_id": topic.log_id, "before": known})
                anew = True
        if anew:
            self._on_new_log()
        # Only now: where that failed, the next reading does it again.
        self._known.update({name: topic.log_id for name, topic in reading.topics.items()})


class _Question:
    """One request that waits for a reading. A raw lock wakes faster than an Event."""

    __slots__ = ("answered", "reading")

    def __init__(self) -> None:
        self.answered = threading.Lock()
        self.answered.acquire()
        self.reading: Reading | None = None


def _checked(reading: Reading) -> Reading:
    if reading.problem is not None:
        raise UnavailableError(f"Kafka does not answer ({reading.problem}); send the request again")
    return reading


def _topic(name: str, future: "Future[Any]") -> Topic | None:
    """One described topic, None where the broker has none of this name."""
    try:
        described = future.result(timeout=2 * _READ_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise
    return Topic(name, str(described.topic_id), tuple(_partition(info) for info in described.partitions))


def _partition(info: Any) -> Partition:
    leader = -1 if info.leader is None else info.leader.id
    in_sync = {node.id for node in info.isr}
    replicas = tuple(Replica(node.id, node.id == leader, node.id in in_sync) for node in info.replicas)
    return Partition(info.id, leader, replicas)


def _result(future: "Future[Any]") -> Any:
    try:
        return future.result(timeout=2 * _READ_TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise UnavailableError(f"Kafka does not answer ({error}); send the request again") from error
