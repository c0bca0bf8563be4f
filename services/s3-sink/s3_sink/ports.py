"""What the sink asks of a log (Kafka) and of an archive (S3), and how both may fail.

``log.py`` and ``archive.py`` implement them; ``fakes.py`` does in memory, and one suite of tests runs on all four.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec


class SinkError(Exception):
    """Base of what the sink raises on purpose."""


class LogUnavailableError(SinkError):
    """The broker cannot be reached or cannot answer now. Trying again later may help."""


class ArchiveUnavailableError(SinkError):
    """S3 cannot be reached or cannot answer now. Trying again later may help; a put may have happened."""


class BucketMissingError(ArchiveUnavailableError):
    """The bucket does not exist (yet, or any more)."""


class LettersTooLargeError(SinkError):
    """The dead-letter topic will never accept some letters as they are; ``numbers`` are their indexes."""

    def __init__(self, message: str, numbers: frozenset[int]) -> None:
        super().__init__(message)
        self.numbers = numbers


class HeadersError(SinkError):
    """This client can never read a record's headers; the message says why."""


class ObjectExistsError(SinkError):
    """A conditional put found an object of that name."""


class ForeignObjectError(SinkError):
    """An object is not one of this sink's; the message says why."""


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Header(msgspec.Struct, frozen=True):
    """A record header; the value is bytes or nothing."""

    key: str
    value: bytes | None


def no_headers() -> tuple[Header, ...]:
    """The headers of a record without any."""
    return ()


class Record(msgspec.Struct, frozen=True, gc=False):
    """One stored record. ``timestamp_ms`` is milliseconds since 1970 in UTC, None where the log has none.

    ``read_headers`` raises ``HeadersError`` where they cannot be read; most records are archived without them.
    ``sender_time`` says that the timestamp is the sender's own (CreateTime), not that of the append.
    """

    place: TopicPartition
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None
    read_headers: Callable[[], tuple[Header, ...]] = no_headers
    sender_time: bool = False


class DeadLetter(msgspec.Struct, frozen=True):
    """A record for the dead-letter topic: its own headers, then ours with its coordinate and the reason."""

    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    origin: tuple[Header, ...] = ()


class TopicState(msgspec.Struct, frozen=True):
    """A topic as the broker describes it now."""

    log_id: str
    partitions: int


class Watermarks(NamedTuple):
    """The lowest offset that a partition still holds, and the one its next record will get.

    ``stable`` is where readers must stop: the first record of a transaction that has not ended; ``high`` without one.
    """

    low: int
    high: int
    stable: int


class Unreadable(msgspec.Struct, frozen=True):
    """A batch of records that this client can never read: damaged, or larger than it unpacks.

    ``first`` is the offset of its first record, which may lie before that which was asked for.
    """

    first: int
    reason: str


class Batch(NamedTuple):
    """What one read gave: records, rising within a partition, and partitions that give no more, with the reason.

    ``ends`` are offsets below which everything there was to read of a partition has been given, in this batch or
    before: what lies between the last record and there is no record (transaction markers, aborted or compacted ones).
    ``unreadable`` are partitions that give no more, since such a batch comes next.
    """

    records: list[Record]
    failed: dict[TopicPartition, str]
    ends: dict[TopicPartition, int]
    unreadable: dict[TopicPartition, Unreadable]


class Reader(Protocol):
    """Reads some partitions from given offsets on, each record once. Every offset it is asked for is explicit.

    It gives what is committed alone: no aborted records, and nothing behind a transaction that has not ended.
    """

    def read(self, timeout_s: float) -> Batch:
        """Records as they come; an empty batch when the time is over. Blocks for at most ``timeout_s``."""

    def pause(self, places: Sequence[TopicPartition]) -> None:
        """Give no more records of these partitions."""

    def resume(self, places: Sequence[TopicPartition]) -> None:
        """Give them again, from where they stopped."""

    def end(self, place: TopicPartition) -> int | None:
        """A partition's high watermark as of the last answer of the broker; None before the first. Does not block."""

    def close(self) -> None:
        """Release it; does not raise."""


class Log(Protocol):
    """A Kafka cluster. Every call blocks for some seconds at most.

    Raises:
        LogUnavailableError: by every method but ``open``.
    """

    def describe(self, topics: Iterable[str]) -> dict[str, TopicState]:
        """The topics that exist."""

    def watermarks(self, place: TopicPartition) -> Watermarks:
        """Where a partition begins and ends now."""

    def behind(self, place: TopicPartition, found: Unreadable, high: int) -> int:
        """The first offset behind a batch that cannot be read; ``high`` at most.

        The client does not tell it: it is looked for, by at most 64 reads of one record.
        """

    def open(self, positions: Mapping[TopicPartition, int]) -> Reader:
        """A reader of its own, which knows nothing of earlier ones. Does not wait for the broker."""

    def dead_letter(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """Store these; returns when all replicas have all of them. After an error some may be stored. Thread-safe.

        Raises:
            LettersTooLargeError: the topic's limit forbids some; trying the same again cannot help.
        """


PAGE: Final = 1_000
"""The most objects in one page of an S3 listing."""


class ObjectRef(msgspec.Struct, frozen=True):
    """A listed object. Another content has another ``etag``."""

    key: str
    etag: str


class Archive(Protocol):
    """One bucket. Thread-safe; every call blocks for some seconds at most.

    Raises:
        BucketMissingError: the bucket does not exist.
        ArchiveUnavailableError: no answer.
    """

    def list(self, prefix: str, start_after: str | None = None) -> Iterable[ObjectRef]:
        """Objects with this prefix after a key, in key order; fetches pages of ``PAGE`` during iteration."""

    def metadata(self, key: str) -> Mapping[str, str] | None:
        """An object's own metadata, names in lower case; None where there is no such object."""

    def put(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        """Write a new object and return its ETag.

        Raises:
            ObjectExistsError: there is one already; it was left as it is.
        """
