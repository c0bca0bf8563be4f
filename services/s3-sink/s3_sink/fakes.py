"""A log and an archive in memory, for tests and benchmarks: the real interfaces, without threads of their own.

``tests/integration/test_s3_sink_adapters.py`` runs one suite on these and on the real ones.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock

from s3_sink.ports import (
    ArchiveUnavailableError,
    Batch,
    BucketMissingError,
    DeadLetter,
    LogUnavailableError,
    ObjectExistsError,
    ObjectRef,
    Record,
    TopicPartition,
    TopicState,
    Watermarks,
)


class FakeArchive:
    """One bucket. ``exists`` and ``available`` are the switches for outages."""

    def __init__(self) -> None:
        self.exists = True
        self.available = True
        self.loses_answers = 0
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.heads = 0
        self._lock = Lock()

    def list(self, prefix: str) -> Iterator[ObjectRef]:
        """See ``ports.Archive``."""
        self._check()
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ObjectRef(key, self._etag(key))

    def metadata(self, key: str) -> Mapping[str, str] | None:
        """See ``ports.Archive``. As on S3, a missing bucket has no objects either."""
        if not self.available:
            self._check()
        self.heads += 1
        found = self.objects.get(key)
        return None if found is None else found[1]

    def put(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        """See ``ports.Archive``."""
        self._check()
        with self._lock:
            if key in self.objects:
                msg = f"{key} exists"
                raise ObjectExistsError(msg)
            self.objects[key] = (body, dict(metadata))
            if self.loses_answers:
                self.loses_answers -= 1
                msg = "the answer was lost"
                raise ArchiveUnavailableError(msg)
        return self._etag(key)

    def _etag(self, key: str) -> str:
        body, metadata = self.objects[key]
        return hashlib.sha256(body + repr(sorted(metadata.items())).encode()).hexdigest()

    def _check(self) -> None:
        if not self.available:
            msg = "S3 does not answer"
            raise ArchiveUnavailableError(msg)
        if not self.exists:
            msg = "there is no bucket"
            raise BucketMissingError(msg)


class _Topic:
    def __init__(self, log_id: str, partitions: int) -> None:
        self.state = TopicState(log_id, partitions)
        self.lows = [0] * partitions
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self.highs = [0] * partitions


class FakeLog:
    """A broker. ``available`` is the switch for outages; ``batch_size`` bounds what one read gives."""

    def __init__(self, batch_size: int = 100) -> None:
        self.available = True
        self.batch_size = batch_size
        self.dead_letters: dict[str, list[DeadLetter]] = defaultdict(list)
        self.topics: dict[str, _Topic] = {}

    def create(self, topic: str, log_id: str, partitions: int = 1) -> None:
        """Make a topic, or make it anew."""
        self.topics[topic] = _Topic(log_id, partitions)

    def produce(self, place: TopicPartition, key: bytes | None, value: bytes | None, timestamp_ms: int = 0) -> int:
        """Append a record; returns its offset."""
        found = self.topics[place.topic]
        offset = found.highs[place.partition]
        found.records[place.partition].append(Record(place, offset, key, value, timestamp_ms))
        found.highs[place.partition] += 1
        return offset

    def skip(self, place: TopicPartition, offsets: int) -> None:
        """Let the log go on without records, as transaction markers do."""
        self.topics[place.topic].highs[place.partition] += offsets

    def expire(self, place: TopicPartition, low: int) -> None:
        """Forget what lies below an offset."""
        self.topics[place.topic].lows[place.partition] = low

    def describe(self, topics: Iterable[str]) -> dict[str, TopicState]:
        """See ``ports.Log``."""
        self._check()
        return {topic: self.topics[topic].state for topic in topics if topic in self.topics}

    def watermarks(self, place: TopicPartition) -> Watermarks:
        """See ``ports.Log``."""
        self._check()
        found = self.topics.get(place.topic)
        if found is None:
            msg = f"no such topic: {place.topic}"
            raise LogUnavailableError(msg)
        return Watermarks(found.lows[place.partition], found.highs[place.partition])

    def open(self, positions: Mapping[TopicPartition, int]) -> "FakeReader":
        """See ``ports.Log``."""
        return FakeReader(self, dict(positions))

    def dead_letter(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """See ``ports.Log``."""
        self._check()
        self.dead_letters[topic].extend(letters)

    def _check(self) -> None:
        if not self.available:
            msg = "no broker answers"
            raise LogUnavailableError(msg)


class FakeReader:
    """See ``ports.Reader``. Like a client without topic ids, it reads on in whatever log has the topic's name."""

    def __init__(self, log: FakeLog, positions: dict[TopicPartition, int]) -> None:
        self._log = log
        self._positions = positions
        self._paused: set[TopicPartition] = set()

    def read(self, timeout_s: float) -> Batch:  # noqa: ARG002 (nothing to wait for)
        """See ``ports.Reader``."""
        records: list[Record] = []
        failed: dict[TopicPartition, str] = {}
        if not self._log.available:
            return Batch(records, failed)
        for place, position in list(self._positions.items()):
            found = self._log.topics.get(place.topic)
            if place in self._paused or found is None:
                continue
            low, high = found.lows[place.partition], found.highs[place.partition]
            if not low <= position <= high:
                failed[place] = "offset out of range"
                del self._positions[place]
                continue
            ahead = [record for record in found.records[place.partition] if record.offset >= position]
            records.extend(ahead[: self._log.batch_size])
            if ahead:
                self._positions[place] = ahead[: self._log.batch_size][-1].offset + 1
        return Batch(records, failed)

    def pause(self, places: Sequence[TopicPartition]) -> None:
        """See ``ports.Reader``."""
        self._paused.update(places)

    def resume(self, places: Sequence[TopicPartition]) -> None:
        """See ``ports.Reader``."""
        self._paused.difference_update(places)

    def end(self, place: TopicPartition) -> int | None:
        """See ``ports.Reader``."""
        found = self._log.topics.get(place.topic)
        return None if found is None else found.highs[place.partition]

    def close(self) -> None:
        """See ``ports.Reader``."""
        self._positions.clear()
