"""A log and an archive in memory, for tests and benchmarks: the real interfaces, without threads of their own.

``tests/integration/test_s3_sink_adapters.py`` runs one suite on these and on the real ones.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock

from s3_sink.coverage import Range
from s3_sink.ports import (
    PAGE,
    ArchiveUnavailableError,
    Batch,
    BucketMissingError,
    DeadLetter,
    Header,
    HeadersError,
    LettersTooLargeError,
    LogUnavailableError,
    ObjectExistsError,
    ObjectRef,
    Record,
    TopicPartition,
    TopicState,
    Unreadable,
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
        self.pages = 0
        self._lock = Lock()

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[ObjectRef]:
        """See ``ports.Archive``."""
        behind = start_after or ""
        while True:
            self._check()
            self.pages += 1
            page = [key for key in sorted(self.objects) if key.startswith(prefix) and key > behind][: PAGE + 1]
            for key in page[:PAGE]:
                yield ObjectRef(key, self._etag(key))
            if len(page) <= PAGE:
                return
            behind = page[PAGE - 1]

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
    def __init__(self, log_id: str, partitions: int, *, sender_times: bool) -> None:
        self.state = TopicState(log_id, partitions)
        self.sender_times = sender_times
        self.lows = [0] * partitions
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self.highs = [0] * partitions
        self.open_since: list[int | None] = [None] * partitions
        self.spoiled: list[list[Range]] = [[] for _ in range(partitions)]

    def stable(self, partition: int) -> int:
        """Where readers must stop."""
        first = self.open_since[partition]
        return self.highs[partition] if first is None else first


class FakeLog:
    """A broker. ``available`` is the switch for outages; ``batch_size`` bounds what one read gives.

    ``largest_letter`` is how many bytes a dead letter may have.
    """

    def __init__(self, batch_size: int = 100) -> None:
        self.available = True
        self.batch_size = batch_size
        self.largest_letter = 1_000_000
        self.dead_letters: dict[str, list[DeadLetter]] = defaultdict(list)
        self.topics: dict[str, _Topic] = {}

    def create(self, topic: str, log_id: str, partitions: int = 1, *, sender_times: bool = False) -> None:
        """Make a topic, or make it anew. ``sender_times``: its timestamps are its senders' (CreateTime)."""
        self.topics[topic] = _Topic(log_id, partitions, sender_times=sender_times)

    def add_partition(self, topic: str) -> TopicPartition:
        """One more partition, empty."""
        found = self.topics[topic]
        added = TopicPartition(topic, found.state.partitions)
        found.state = TopicState(found.state.log_id, found.state.partitions + 1)
        found.lows.append(0)
        found.highs.append(0)
        found.records.append([])
        found.open_since.append(None)
        found.spoiled.append([])
        return added

    def produce(
        self,
        place: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int = 0,
        headers: Sequence[tuple[bytes, bytes | None]] = (),
    ) -> int:
        """Append a record; returns its offset."""
        found = self.topics[place.topic]
        offset = found.highs[place.partition]
        record = Record(place, offset, key, value, timestamp_ms, lambda: _headers(headers), found.sender_times)
        found.records[place.partition].append(record)
        found.highs[place.partition] += 1
        return offset

    def skip(self, place: TopicPartition, offsets: int) -> None:
        """Let the log go on without records, as transaction markers and aborted records do."""
        self.topics[place.topic].highs[place.partition] += offsets

    def spoil(self, place: TopicPartition, offsets: int) -> None:
        """Append a batch that no client can read."""
        found = self.topics[place.topic]
        high = found.highs[place.partition]
        found.spoiled[place.partition].append(Range(high, high + offsets))
        self.skip(place, offsets)

    def begin(self, place: TopicPartition) -> None:
        """Begin a transaction: nothing from here on can be read until it ends."""
        found = self.topics[place.topic]
        found.open_since[place.partition] = found.highs[place.partition]

    def end(self, place: TopicPartition, *, commit: bool) -> None:
        """End the transaction; the marker takes an offset. What is aborted was no record."""
        found = self.topics[place.topic]
        first = found.open_since[place.partition]
        found.open_since[place.partition] = None
        if not commit:
            records = found.records[place.partition]
            found.records[place.partition] = [one for one in records if first is None or one.offset < first]
        self.skip(place, 1)

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
        number = place.partition
        return Watermarks(found.lows[number], found.highs[number], found.stable(number))

    def behind(self, place: TopicPartition, found: Unreadable, high: int) -> int:
        """See ``ports.Log``."""
        self._check()
        (end,) = [one.end for one in self.topics[place.topic].spoiled[place.partition] if one.first == found.first]
        return min(end, high)

    def open(self, positions: Mapping[TopicPartition, int]) -> "FakeReader":
        """See ``ports.Log``."""
        return FakeReader(self, dict(positions))

    def dead_letter(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """See ``ports.Log``."""
        self._check()
        if topic not in self.topics:
            msg = f"no such topic: {topic}"
            raise LogUnavailableError(msg)
        large = frozenset(number for number, one in enumerate(letters) if _size(one) > self.largest_letter)
        self.dead_letters[topic].extend(one for number, one in enumerate(letters) if number not in large)
        if large:
            msg = f"larger than {topic} takes"
            raise LettersTooLargeError(msg, large)

    def _check(self) -> None:
        if not self.available:
            msg = "no broker answers"
            raise LogUnavailableError(msg)


def _headers(headers: Sequence[tuple[bytes, bytes | None]]) -> tuple[Header, ...]:
    try:
        return tuple(Header(key.decode(), value) for key, value in headers)
    except UnicodeDecodeError as error:
        raise HeadersError(str(error)) from error


def _size(letter: DeadLetter) -> int:
    headers = (*letter.headers, *letter.origin)
    return (
        len(letter.key or b"") + len(letter.value or b"") + sum(len(one.key) + len(one.value or b"") for one in headers)
    )


class FakeReader:
    """See ``ports.Reader``. Like a client without topic ids, it reads on in whatever log has the topic's name."""

    def __init__(self, log: FakeLog, positions: dict[TopicPartition, int]) -> None:
        self._log = log
        self._positions = positions
        self._paused: set[TopicPartition] = set()
        self._ends: dict[TopicPartition, int] = {}

    def read(self, timeout_s: float) -> Batch:  # noqa: ARG002 (nothing to wait for)
        """See ``ports.Reader``."""
        records: list[Record] = []
        failed: dict[TopicPartition, str] = {}
        ends: dict[TopicPartition, int] = {}
        unreadable: dict[TopicPartition, Unreadable] = {}
        if not self._log.available:
            return Batch(records, failed, ends, unreadable)
        for place, position in list(self._positions.items()):
            found = self._log.topics.get(place.topic)
            if place in self._paused or found is None:
                continue
            low, high = found.lows[place.partition], found.highs[place.partition]
            if not low <= position <= high:
                failed[place] = "offset out of range"
                del self._positions[place]
                continue
            stable = found.stable(place.partition)
            spoiled = [one for one in found.spoiled[place.partition] if position < one.end and one.first < stable]
            if spoiled and spoiled[0].first <= position:
                unreadable[place] = Unreadable(spoiled[0].first, "the batch is damaged")
                del self._positions[place]
                continue
            if spoiled:
                stable = spoiled[0].first
            ahead = [one for one in found.records[place.partition] if position <= one.offset < stable]
            given = ahead[: self._log.batch_size]
            records.extend(given)
            if given:
                self._positions[place] = given[-1].offset + 1
            if spoiled and len(given) == len(ahead):
                self._positions[place] = stable
            elif len(given) == len(ahead) and position <= stable != self._ends.get(place):
                self._positions[place] = self._ends[place] = ends[place] = stable
        return Batch(records, failed, ends, unreadable)

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
