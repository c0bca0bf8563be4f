"""What must be true of every history of a stream and the query that reads it."""

from collections import Counter
from dataclasses import dataclass

from kinesis_query import Row
from kinesis_source.horizon import MIN_RETENTION_MS, START_GRACE_MS
from kinesis_source.offsets import later


@dataclass
class Put:
    """A record that was put, and when it arrived and expired."""

    shard: str
    number: str
    rows: list[bytes]
    arrived_ms: int
    gone_ms: int | None = None


@dataclass
class Loss:
    """A loss that was said: between these records of a shard (None: its beginning, now); ``whole``: with the two."""

    shard: str
    after: str | None
    before: str | None
    whole: bool

    def holds(self, number: str) -> bool:
        """Whether it is said of this record."""
        if self.whole and number in (self.after, self.before):
            return True
        return (self.after is None or later(number, self.after)) and (self.before is None or later(self.before, number))


class WrongError(AssertionError):
    """What must be true of every history is not."""


@dataclass
class Facts:
    """A history as it ended: what was put, what the query read and said, and where it began (a time, or the oldest)."""

    puts: list[Put]
    losses: list[Loss]
    batches: list[list[Row]]
    known: set[str]
    """Shards that an offset ever held."""
    parents: dict[str, tuple[str, ...]]
    began_ms: int
    from_ms: int | None
    skew_ms: float
    """So far the two clocks are apart."""
    now_ms: int
    retention_ms: float
    """The retention of now."""
    blind: bool
    """Retention was lowered and raised again before anybody asked for it."""

    @property
    def rows(self) -> list[Row]:
        """All that was read."""
        return [row for batch in self.batches for row in batch]

    def judge(self) -> None:
        """Raise WrongError unless each record was read once, in order, or its loss was said."""
        read = Counter((shard, number, data) for shard, number, data in self.rows)
        twice = [row for row, times in read.items() if times > 1]
        if twice:
            raise WrongError(f"read twice: {twice[:3]}")
        for put in self.puts:
            got = [row for row in put.rows if (put.shard, put.number, row) in read]
            if got == put.rows:
                continue
            if got:
                raise WrongError(f"read in part: {put}")
            if not self._is_asked_for(put) or self._is_said(put):
                continue
            raise WrongError(f"neither read nor said to be lost: {put}")
        strange = read.keys() - {(put.shard, put.number, row) for put in self.puts for row in put.rows}
        if strange:
            raise WrongError(f"never put: {list(strange)[:3]}")
        self._judge_order()

    def _judge_order(self) -> None:
        """Within a shard by sequence number; a child only in batches after its parents'."""
        batches: dict[str, list[int]] = {}
        numbers: dict[str, list[tuple[int, int]]] = {}
        place = {row: (int(put.number), n) for put in self.puts for n, row in enumerate(put.rows)}
        for batch, rows in enumerate(self.batches):
            for shard, _, data in rows:
                batches.setdefault(shard, []).append(batch)
                numbers.setdefault(shard, []).append(place[data])
        for shard, found in numbers.items():
            if found != sorted(found):
                raise WrongError(f"{shard} is out of order")
            for parent in self.parents.get(shard, ()):
                if parent in batches and max(batches[parent]) >= min(batches[shard]):
                    raise WrongError(f"{shard} comes before its parent {parent} ends")

    def _is_asked_for(self, put: Put) -> bool:
        if self.from_ms is not None:
            if put.arrived_ms < self.from_ms + self.skew_ms:
                return False
        elif put.gone_ms is not None and put.gone_ms <= self.began_ms:
            return False
        # What the oldest record is, is known once somebody has looked.
        early_ms = self.began_ms + START_GRACE_MS
        begun = self.from_ms is None or self.from_ms < self.began_ms - MIN_RETENTION_MS + START_GRACE_MS
        return not (begun and put.gone_ms is not None and put.gone_ms <= early_ms)

    def _is_said(self, put: Put) -> bool:
        for loss in self.losses:
            if loss.shard == put.shard and loss.holds(put.number):
                return True
            # A shard that nobody has ever seen is told by one that it went on in, or by the one that it came from.
            if put.shard not in self.known and put.shard in line_of(loss.shard, self.parents):
                return True
        return self.blind and not self._has_witness(put)

    def _has_witness(self, put: Put) -> bool:
        """Whether a record before it was read that would still be there by the retention of now."""
        read = {number for shard, number, _ in self.rows if shard == put.shard and later(put.number, number)}
        return any(one.number in read and self.now_ms - one.arrived_ms < self.retention_ms for one in self.puts)


def line_of(shard: str, parents: dict[str, tuple[str, ...]]) -> set[str]:
    """Ancestors and descendants."""
    found, waiting = set(), [shard]
    while waiting:
        one = waiting.pop()
        for other in parents.get(one, ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    waiting = [shard]
    while waiting:
        one = waiting.pop()
        for other, its in parents.items():
            if one in its and other not in found:
                found.add(other)
                waiting.append(other)
    return found
