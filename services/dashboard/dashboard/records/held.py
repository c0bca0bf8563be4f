"""Rows of quarantine: what tells one from all others, and what is told of them."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from pipeline_contracts.lake import QUARANTINE, STREAM_QUARANTINE

from dashboard.records.places import Path

PATHS: Final[tuple[Path, ...]] = ("batch", "stream")
SOURCES: Final = ("record", "object", "dead_letter")
_NUMBERS: Final = range(-(2**63), 2**63)
_MOMENTS: Final = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Microseconds since 1970 of the years 1 to 9999."""


@dataclass(frozen=True)
class Table:
    """One path's table: its name, what it calls topic or stream, and the columns that tell its rows apart."""

    path: Path
    table: str
    named: str
    key: Mapping[str, type[str] | type[int]]


TABLES: Final[Mapping[Path, Table]] = {
    "batch": Table(
        "batch",
        QUARANTINE,
        "topic",
        {
            "log_id": str,
            "topic": str,
            "partition": int,
            "offset": int,
            "object_key": str,
            "line": int,
            "source": str,
            "raw_sha256": str,
        },
    ),
    "stream": Table(
        "stream",
        STREAM_QUARANTINE,
        "stream",
        {"log_id": str, "stream": str, "partition": str, "offset": str, "source": str},
    ),
}


class Key(msgspec.Struct, frozen=True, array_like=True):
    """Tells one row from all others. ``at``: microseconds since 1970; ``of``: the table's key columns, none null."""

    path: Path
    at: int | None
    of: tuple[str | int, ...]

    def __post_init__(self) -> None:
        kinds = tuple(TABLES[self.path].key.values())
        if len(self.of) != len(kinds) or not all(isinstance(v, k) for v, k in zip(self.of, kinds, strict=True)):
            raise ValueError("not the key columns of the table")
        if self.at is not None and self.at not in _MOMENTS:
            raise ValueError("there is no such moment")
        if any(isinstance(number, int) and number not in _NUMBERS for number in self.of):
            raise ValueError("a number is out of range")

    @property
    def text(self) -> str:
        """For an address."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Key":
        """From an address.

        Raises:
            ValueError: it is no key's text.
        """
        try:
            return _decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        except (binascii.Error, msgspec.MsgspecError, UnicodeError) as error:
            raise ValueError("not the id of a row") from error


_decode: Final = msgspec.json.Decoder(Key).decode


@dataclass(frozen=True)
class Count:
    """How many rows have one path, source and reason."""

    path: Path
    source: str
    reason: str
    rows: int


@dataclass(frozen=True)
class Held:
    """One row. ``text`` is the beginning of its bytes where they are text, and may hold personal data.

    ``size`` is the length in bytes of all that was refused, and None where that is not told apart from what is kept.
    """

    key: Key
    source: str
    log_id: str
    name: str
    partition: str
    offset: str | None
    reason: str
    recorded_at: datetime | None
    quarantined_at: datetime | None
    text: str | None
    object_key: str | None = None
    line: int | None = None
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Only:
    """Which rows are asked for; None: all."""

    path: Path | None = None
    source: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Listing:
    """Some rows, the newest first. ``before``: where the next page begins; None: there is none."""

    rows: tuple[Held, ...]
    before: Key | None
