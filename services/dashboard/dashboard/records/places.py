"""Where a record is stored, and what is told of its way: the words that both paths share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from pipeline_contracts.names import Kind

Path = Literal["batch", "stream"]
Fate = Literal[
    "current",
    "superseded",
    "repeated",
    "quarantined",
    "dead_lettered",
    "in_flight",
    "missing",
    "not_there_yet",
    "unclear",
]
"""The audit's fates, and two that only Kafka and the bucket could tell apart: it is not in the lake.

``not_there_yet``: no analysis has read an object that covers the offset, or the reader has not come to the record; or
there is no such record. ``unclear``: an object was read that covers the offset, and has no line for it.
"""
StepState = Literal["done", "waiting", "bad", "unknown"]

COORDINATE: Final = ("log_id", "partition", "offset", "recorded_at", "content_hash")
"""The columns of a cleaned row that are no content."""


@dataclass(frozen=True)
class Place:
    """A record's coordinate. ``name`` is the topic or stream; ``partition`` and ``offset`` are as text, of a stream
    shard and sequence number, with ``.1``, ``.2``, … for the later records of an aggregate."""

    path: Path
    name: str
    log_id: str
    partition: str
    offset: str


@dataclass(frozen=True)
class Step:
    """One stage of a record's way: what happened there, and when, where the lake says so.

    ``other`` is another record that ``text`` speaks of.
    """

    title: str
    state: StepState
    text: str
    at: datetime | None = None
    other: Place | None = None


@dataclass(frozen=True)
class Record:
    """One record: its fate, why it has it, and its way.

    ``fields`` are its cleaned columns, where it was cleaned. ``value`` is the beginning of its raw text, where that was
    asked for. Both may hold personal data.
    """

    place: Place
    kind: Kind
    fate: Fate
    steps: tuple[Step, ...]
    recorded_at: datetime | None = None
    content_hash: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    value: str | None = None


@dataclass(frozen=True)
class Found:
    """Records, the newest first, and whether there are more than are told."""

    records: tuple[Record, ...]
    more: bool = False


def content(row: Mapping[str, Any]) -> dict[str, Any]:
    """A cleaned row's columns that are its content."""
    return {name: value for name, value in row.items() if name not in {*COORDINATE, "superseded", "value"}}
