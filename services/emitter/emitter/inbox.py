"""What waits for one lane: bounded, in order, given out in requests."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from emitter.rows import Record

_LOOK_AGAIN_S = 0.2
RECORD_OVERHEAD_BYTES = 48
"""Of a record in a request's body, beside its value: names of fields, key, commas."""


class Request(msgspec.Struct, frozen=True):
    """Records for one topic or stream."""

    name: str
    records: list[Record]


class Inbox:
    """A queue of records between the reader and one lane.

    A request never holds two contents of one key: if the first of them failed and the second did not, sending
    the first again would turn their order round.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._waiting: dict[str, deque[Record]] = {}
        self._records = 0
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, records: Sequence[Record], stopping: Callable[[], bool]) -> bool:
        """Add records, blocking while it is full; False if ``stopping`` became true before all were added."""
        with self._changed:
            for record in records:
                while self._records >= self._most_records or self._bytes >= self._most_bytes:
                    if stopping():
                        return False
                    self._changed.wait(_LOOK_AGAIN_S)
                self._waiting.setdefault(record.name, deque()).append(record)
                self._records += 1
                self._bytes += len(record.value)
                if self._records == 1:
                    self._changed.notify_all()
            self._changed.notify_all()
        return not stopping()

    def close(self) -> None:
        """Nothing more will be put in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, most_records: int, most_bytes: int, stopping: Callable[[], bool]) -> Request | None:
        """The next request, blocking until there is one; None at the end, or when ``stopping`` is true.

        The topic whose first record has waited longest comes first.
        """
        with self._changed:
            while not self._records:
                if self._closed or stopping():
                    return None
                self._changed.wait(_LOOK_AGAIN_S)
            if stopping():
                return None
            waiting = min((queue for queue in self._waiting.values() if queue), key=lambda queue: queue[0].id)
            records = _choose(waiting, most_records, most_bytes)
            self._records -= len(records)
            self._bytes -= sum(len(record.value) for record in records)
            self._changed.notify_all()
            return Request(records[0].name, records)


def _choose(waiting: deque[Record], most_records: int, most_bytes: int) -> list[Record]:
    """Take records from the front; those that must not share a request with an earlier one stay, in order."""
    chosen: list[Record] = []
    passed_over: list[Record] = []
    contents: dict[str, str | None] = {}
    size = 0
    for _ in range(min(len(waiting), most_records)):
        record = waiting[0]
        size += len(record.value) + RECORD_OVERHEAD_BYTES
        if chosen and size > most_bytes:
            break
        waiting.popleft()
        if contents.setdefault(record.key, record.content_hash) == record.content_hash:
            chosen.append(record)
        else:
            contents[record.key] = None  # whatever comes behind it waits with it
            passed_over.append(record)
    waiting.extendleft(reversed(passed_over))
    return chosen
