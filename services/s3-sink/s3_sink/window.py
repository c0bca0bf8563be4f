"""What was read of one partition and is in no object yet."""

import msgspec

from s3_sink.connector import Format
from s3_sink.coverage import Hole, Range
from s3_sink.encoding import PoisonError, batch_letter, dead_letter, encode_line
from s3_sink.ports import DeadLetter, Record, TopicPartition

# What Python takes beside the bytes themselves, so that small records count too: of a line a list entry and an
# object header; of a dead letter and of each of its headers the objects that hold them.
_LINE_OVERHEAD_BYTES = 48
_LETTER_OVERHEAD_BYTES = 320
_HEADER_OVERHEAD_BYTES = 128


class Cut(msgspec.Struct, frozen=True):
    """A closed window: everything that becomes one object. ``size_bytes`` is what it takes up in memory.

    ``oldest_ms`` is when Kafka appended its first record, None where no record has such a time.
    """

    covered: Range
    lines: list[bytes]
    dead_letters: list[DeadLetter]
    size_bytes: int
    oldest_ms: int | None = None


class Window:
    """Fills a hole from its first offset on.

    The covered range runs from the hole's first offset, so that offsets at which the log holds no record (transaction
    markers) are covered too, and a hole between two objects ends exactly where the second begins.
    """

    def __init__(self, hole: Hole, output: Format, connector: str, log_id: str) -> None:
        self.hole = hole
        self.position = hole.first
        self.size_bytes = 0
        self.oldest_ms: int | None = None
        self._output = output
        self._connector = connector
        self._log_id = log_id
        self._lines: list[bytes] = []
        self._dead_letters: list[DeadLetter] = []

    def take(self, record: Record) -> None:
        """Add the partition's next record; one behind the hole's end only says that nothing more comes before it.

        Raises:
            ValueError: the record lies before the position. Its reader is broken.
        """
        if record.offset < self.position:
            msg = (
                f"{record.place.topic}-{record.place.partition}: offset {record.offset} came after {self.position - 1}"
            )
            raise ValueError(msg)
        end = self.hole.end
        if end is not None and record.offset >= end:
            self.position = end
            return
        if self.oldest_ms is None and not record.sender_time:
            self.oldest_ms = record.timestamp_ms
        try:
            line = encode_line(record, self._output)
        except PoisonError as problem:
            letter = dead_letter(record, problem, self._connector, self._log_id)
            self._dead_letters.append(letter)
            self.size_bytes += _size(letter)
        else:
            self._lines.append(line)
            self.size_bytes += len(line) + _LINE_OVERHEAD_BYTES
        self.position = record.offset + 1

    def pass_over(self, place: TopicPartition, batch: Range, reason: str) -> Range | None:
        """Go on behind a batch that cannot be read; it becomes one dead letter. What of it lies in the hole, if any."""
        first = max(self.position, batch.first)
        end = batch.end if self.hole.end is None else min(batch.end, self.hole.end)
        if first >= end:
            return None
        letter = batch_letter(place, Range(first, end), reason, self._connector, self._log_id)
        self._dead_letters.append(letter)
        self.size_bytes += _size(letter)
        self.position = end
        return Range(first, end)

    def reach(self, offset: int) -> None:
        """All records below this offset were taken; what else lies there is no record."""
        end = self.hole.end
        self.position = max(self.position, offset if end is None else min(offset, end))

    def end_here(self) -> None:
        """Nothing more comes before whatever is behind the position: the window is full."""
        self.hole = Hole(self.hole.first, self.position)

    @property
    def empty(self) -> bool:
        """Whether nothing was read yet."""
        return self.position == self.hole.first

    @property
    def full(self) -> bool:
        """Whether the hole is filled up to the object behind it."""
        return self.position == self.hole.end

    def cut(self) -> Cut:
        """Close it. The window must not be empty, and takes no more records afterwards.

        Raises:
            ValueError: it is empty.
        """
        return Cut(
            Range(self.hole.first, self.position), self._lines, self._dead_letters, self.size_bytes, self.oldest_ms
        )


def _size(letter: DeadLetter) -> int:
    """What a dead letter takes up in memory."""
    headers = sum(len(one.key) + len(one.value or b"") for one in letter.headers)
    ours = sum(len(one.value or b"") for one in letter.origin)
    count = len(letter.headers) + len(letter.origin)
    own = len(letter.value or b"") + len(letter.key or b"")
    return own + headers + ours + _LETTER_OVERHEAD_BYTES + count * _HEADER_OVERHEAD_BYTES
