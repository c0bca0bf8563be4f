"""How far each log goes: what the broker says of it, and what objects and ledger know that it once held.

A log that ends before an offset that it has given out was cut short (a lost disk, a leader elected out of sync); one
that the broker has no more was deleted, and perhaps made anew under another id.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
from pipeline_contracts.audits import Range

from pipeline_local.audit.stages import CoveredRange, LogPartition

type Key = tuple[str, str, int]
"""Topic, log id and partition."""


@dataclass(frozen=True)
class Bounds:
    """Which offsets of one partition are asked for: those below ``high``.

    The log holds those from ``low`` up to ``end`` now. What lies outside and is in no object will not come any more.
    """

    topic: str
    log_id: str
    partition: int
    low: int
    high: int
    end: int


def bounds(
    earlier: Iterable[LogPartition], now: Iterable[LogPartition], covered: Iterable[CoveredRange]
) -> list[Bounds]:
    """The bounds of all partitions, those of logs that are gone and have objects included.

    Records that came after ``earlier`` are not asked for; where the log was cut short, all that its objects cover is.
    """
    first, last, tops = _by_key(earlier), _by_key(now), _tops(covered)
    found = []
    for key in sorted(first.keys() | tops.keys()):
        high, top = (first[key].high if key in first else 0), tops.get(key, 0)
        if key in last:
            end = last[key].high
            found.append(Bounds(*key, last[key].low, max(high, top) if top > end else high, end))
        else:
            gone = max(high, top)
            found.append(Bounds(*key, gone, gone, gone))
    return found


def cuts(
    now: Iterable[LogPartition], covered: Iterable[CoveredRange], acknowledged: pa.Table
) -> dict[Key, list[Range]]:
    """The offsets that a log gave out and does not reach ``now``. ``acknowledged`` as ``fates.Acknowledged`` has it."""
    tops = _tops(covered)
    largest = acknowledged.group_by(["topic", "log_id", "partition"]).aggregate([("offset", "max")])
    for row in largest.to_pylist():
        key = (row["topic"], row["log_id"], row["partition"])
        tops[key] = max(tops.get(key, 0), row["offset_max"] + 1)
    ends = {key: log.high for key, log in _by_key(now).items()}
    return {key: [[ends[key], top - 1]] for key, top in tops.items() if key in ends and top > ends[key]}


def _by_key(logs: Iterable[LogPartition]) -> dict[Key, LogPartition]:
    return {(log.topic, log.log_id, log.partition): log for log in logs}


def _tops(covered: Iterable[CoveredRange]) -> dict[Key, int]:
    tops: dict[Key, int] = {}
    for one in covered:
        key = (one.topic, one.log_id, one.partition)
        tops[key] = max(tops.get(key, 0), one.next)
    return tops
