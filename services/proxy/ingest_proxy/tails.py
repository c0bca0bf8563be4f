"""Which log an acknowledged offset belongs to, without asking the broker each time.

An acknowledgement holds an offset, not the log's id, and a topic can be recreated at any moment. Asking for
the id after each acknowledgement would be right, and cost a third of the throughput. But an offset that
follows on the last one we saw, in a partition whose log was asked for since its last jump, is in that same
log: a new log begins at 0, and its first record from us is a jump. (Unless another writer has brought the
new partition to that very offset, within the second that our reading is old.)
"""

import threading


class _Tail:
    __slots__ = ("jumps", "log_id", "next_offset")

    def __init__(self) -> None:
        self.next_offset = -1
        self.log_id: str | None = None
        self.jumps = 0


class Tails:
    """The ends of one topic's partitions as one producer has seen them. One thread reports, many confirm."""

    def __init__(self) -> None:
        self._tails: dict[int, _Tail] = {}
        self._lock = threading.Lock()

    def follows(self, partition: int, offset: int, log_id: str) -> bool:
        """Note an acknowledged offset; whether it is certainly in this log. For the reporting thread."""
        tail = self._tails.get(partition)
        if tail is not None and tail.next_offset == offset and tail.log_id == log_id:
            tail.next_offset = offset + 1
            return True
        return False

    def doubt(self, partition: int, offset: int) -> int:
        """Note an offset that does not follow; returns a mark for ``confirm``. For the reporting thread."""
        with self._lock:
            tail = self._tails.setdefault(partition, _Tail())
            if tail.next_offset != offset:
                tail.log_id = None
                tail.jumps += 1
            tail.next_offset = offset + 1
            return tail.jumps

    def confirm(self, log_id: str, marks: dict[int, int]) -> None:
        """The broker named this id after the marked offsets: what follows on them is in this log."""
        with self._lock:
            for partition, jumps in marks.items():
                tail = self._tails[partition]
                if tail.jumps == jumps:
                    tail.log_id = log_id
