"""The state of one partition: what objects cover, what is being stored, what was read."""

from collections.abc import Mapping

import msgspec

from s3_sink.chain import Epoch
from s3_sink.connector import Connector
from s3_sink.coverage import Coverage, Hole, Range
from s3_sink.ports import Record, TopicPartition, Unreadable
from s3_sink.window import Cut, Window

_UNREAD_S = 10.0
"""How long records may be unread before the broker is asked for the reason."""


class _Oldest(msgspec.Struct):
    """The first offset that no object covers: since when it is known to wait (monotonic), and when it was appended."""

    offset: int
    since: float
    appended_ms: int | None = None


class Partition:
    """Fills the holes of one partition, lowest first; at most one window is being stored at a time.

    The window always stands at the first hole of: objects, the window being stored, and offsets that have expired.
    ``held`` says why nothing can be stored there: other bytes have the name of the object that comes next;
    ``problem`` why its reader gives no more of it, and ``unreadable`` the batch that is the reason, if one is;
    ``waiting`` why nothing can be read yet. ``log_end`` is the high
    watermark as far as it is known.
    """

    def __init__(self, connector: Connector, epoch: Epoch, place: TopicPartition, listed: Coverage) -> None:
        self.connector = connector
        self.epoch = epoch
        self.place = place
        self.in_flight: Cut | None = None
        self.problem: str | None = None
        self.unreadable: Unreadable | None = None
        self.waiting: str | None = None
        self.log_end: int | None = None
        self._since: dict[str, float] = {}
        self._oldest: _Oldest | None = None
        self._expired = Coverage()
        self._objects = Coverage(listed)
        self._stored_since = Coverage()
        self._taken: dict[int, str] = {}
        self._coverage = Coverage(listed)
        self.window = self._window_at(listed.first_hole())

    def take(self, record: Record, now: float) -> None:
        """Add the next record, read at ``now`` (monotonic seconds)."""
        self.window.take(record)
        self._moved(now)

    def reach(self, offset: int, now: float) -> None:
        """Below this offset nothing more is to be read (see ``ports.Batch``)."""
        if offset > self.window.position:
            self.window.reach(offset)
            self._moved(now)

    def cannot_read(self, found: Unreadable, now: float) -> None:
        """A batch comes next that its reader cannot read."""
        self.unreadable = found
        self.reading_failed(found.reason, now)

    def pass_over(self, batch: Range, now: float) -> Range | None:
        """Go on behind the batch that could not be read; says which offsets were given up."""
        found, self.unreadable = self.unreadable, None
        if found is None:
            return None
        self.problem = None
        self.window.reach(batch.first)  # all that can be read before it was given
        lost = self.window.pass_over(self.place, batch, found.reason)
        self._moved(now)
        return lost

    def cut(self, now: float) -> tuple[Cut, bool]:
        """Close the window and begin the next; says too whether that one begins where reading does not stand."""
        cut = self.window.cut()
        self.in_flight = cut
        self._since["in_flight"] = self._since.pop("window", now)
        self._coverage.add(cut.covered)
        self.window = self._window_at(self._coverage.first_hole())
        jumps = self.window.hole.first != cut.covered.end
        if jumps:
            self.unreadable = None
        return cut, jumps

    def stored(self) -> None:
        """The window that was cut is an object now."""
        if self.in_flight is not None:
            self._is_object(self.in_flight.covered)
        self._not_in_flight()

    def was_stored_by_another(self, covered: Range) -> None:
        """Another sink's object has the name of the window that was cut, and counts: resume after it."""
        self._is_object(covered)
        self._not_in_flight()
        self._place_anew()

    def name_is_taken(self, reason: str) -> None:
        """Another program's object has the name of the cut window: nothing is stored, and the partition is held."""
        if self.in_flight is not None:
            self._taken[self.in_flight.covered.first] = reason
        self._not_in_flight()
        self._place_anew()

    @property
    def held(self) -> str | None:
        """Why the next object cannot be written until somebody moves another away; None if it can."""
        return self._taken.get(self.window.hole.first)

    def listing_begins(self) -> None:
        """The objects are being listed: what is stored from now on need not be among those that are found."""
        self._stored_since = Coverage()

    def verify(self, listed: Coverage, taken: Mapping[int, str]) -> Hole | None:
        """Compare with what the objects cover, as listed since ``listing_begins``; where the first hole is another
        one, begin there. ``taken``: the offsets whose object's name other bytes have.

        What was read and not stored is forgotten then, and read again in its turn. Returns the hole that had been
        worked at, None where all is as it was.
        """
        self._objects = Coverage([*listed, *self._stored_since])
        self._taken = dict(taken)
        before = self.window.hole
        self._coverage = self._covered()
        hole = self._coverage.first_hole()
        if hole == before:
            return None
        self._begin(hole)
        return before

    def expire(self, low: int) -> list[Range]:
        """The log begins at ``low`` only: returns what is lost before it, and resumes there."""
        lost = [] if low <= self.window.position else self._coverage.missing_in(Range(self.window.position, low))
        for one in lost:
            self._expired.add(one)
            self._coverage.add(one)
        if lost and self.window.empty:
            self._begin(self._coverage.first_hole())
        elif lost:
            self.window.end_here()
        return lost

    def reading_failed(self, problem: str, now: float) -> None:
        """The reader gives no more of this partition."""
        self.problem = problem
        self._since.setdefault("problem", now)

    def reading_resumes(self, *, nothing_left: bool) -> None:
        """A reader is opened for it again. It counts as stuck until a record comes, unless there is none to come."""
        self.unreadable = None
        self.problem, self.waiting = None, self.problem
        if nothing_left:
            self.waiting = None
            self._since.pop("problem", None)

    def saw_end(self, end: int, now: float) -> None:
        """The log is known to reach up to ``end``: what lies before it should come in time."""
        self.log_end = end
        if end > self.window.position and self.window.empty:
            self._since.setdefault("unread", now)
        else:
            self._since.pop("unread", None)

    def age_of_oldest(self, now: float, now_ms: float) -> float:
        """Seconds since Kafka appended the first record that is in no object; 0 where all are. To be asked each round.

        ``now`` is monotonic, ``now_ms`` since 1970. Where the time of the append is not known, because the record was
        not read yet or its time is its sender's, it is the seconds since this process knows of it: at least so many.
        """
        if self.in_flight is None and self.window.empty and (self.log_end or 0) <= self.archived:
            return 0.0
        if self._oldest is None or self._oldest.offset != self.archived:
            self._oldest = _Oldest(self.archived, now)
        in_memory = (self.window.oldest_ms, None if self.in_flight is None else self.in_flight.oldest_ms)
        if read := [one for one in in_memory if one is not None]:
            self._oldest.appended_ms = min(read)
        appended_ms = self._oldest.appended_ms
        return max(now - self._oldest.since, 0.0 if appended_ms is None else (now_ms - appended_ms) / 1_000)

    def needs_a_look(self, now: float) -> bool:
        """Whether it makes no progress, for a reason that the broker may know."""
        unread_s = now - self._since.get("unread", now)
        return self.problem is not None or self.held is not None or unread_s > _UNREAD_S

    @property
    def archived(self) -> int:
        """Below this offset, everything is in an object or has expired."""
        first = self.window.hole.first
        return first if self.in_flight is None else min(first, self.in_flight.covered.first)

    @property
    def size_bytes(self) -> int:
        """What its windows take up in memory."""
        return self.window.size_bytes + (0 if self.in_flight is None else self.in_flight.size_bytes)

    def window_age(self, now: float) -> float:
        """Seconds since the window's first record was read; 0 for an empty one."""
        return now - self._since.get("window", now)

    def stuck_for(self, now: float) -> float:
        """Seconds since which something waits to be stored or read."""
        return now - min(self._since.values(), default=now)

    def _moved(self, now: float) -> None:
        if self._since.keys() & {"problem", "unread"}:
            self._since.pop("problem", None)
            self._since.pop("unread", None)
        self.waiting = None
        self._since.setdefault("window", now)

    def _is_object(self, covered: Range) -> None:
        self._objects.add(covered)
        self._stored_since.add(covered)

    def _not_in_flight(self) -> None:
        self.in_flight = None
        self._since.pop("in_flight", None)

    def _covered(self) -> Coverage:
        covered = Coverage([*self._objects, *self._expired])
        if self.in_flight is not None:
            covered.add(self.in_flight.covered)
        return covered

    def _place_anew(self) -> None:
        self._coverage = self._covered()
        self._begin(self._coverage.first_hole())

    def _begin(self, hole: Hole) -> None:
        self._since.pop("window", None)
        self.unreadable = None  # it was told to a reader that stood elsewhere
        self.window = self._window_at(hole)

    def _window_at(self, hole: Hole) -> Window:
        return Window(hole, self.connector.format, self.connector.name, self.epoch.log_id)
