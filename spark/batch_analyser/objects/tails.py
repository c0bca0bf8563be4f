"""The ends of the folders that the ledger knows, carried on from commit to commit.

Each commit to the ledger notes them, so that the next run need not read the whole ledger for a few keys. Where they
cannot be carried on (names that do not sort like offsets, holes, an older object that was written again) a commit has
no note, and the next run reads the ledger.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from pipeline_contracts.objects import parse_object_key

from batch_analyser.objects.listing import Tail

MOST_NOTE_BYTES: Final = 64 * 1024
"""A longer note would burden each reader of the table's log."""

_NOTED: Final = "object_tails"
_decode: Final = msgspec.json.Decoder(dict[str, dict[str, Tail]]).decode


class Taken(NamedTuple):
    """A row of the ledger, as far as it moves a folder's end."""

    key: str
    etag: str
    first: int
    next: int


def advanced(tails: Mapping[str, Tail] | None, rows: Iterable[Taken]) -> dict[str, Tail] | None:
    """The tails once these rows are in the ledger, too; None where that cannot be told from them alone."""
    if tails is None:
        return None
    moved = dict(tails)
    for row in sorted(rows):
        name = parse_object_key(row.key)
        folder = row.key.rpartition("/")[0] + "/"
        tail = _moved(moved.get(folder), row)
        if name is None or tail is None or not tail.even:
            return None
        if tail.start_after is None and tail.previous_key is not None:
            return None
        moved[folder] = tail
    return moved


def _moved(tail: Tail | None, row: Taken) -> Tail | None:
    if tail is None:
        return Tail(row.key, row.etag, None, even=row.first == 0, reach=row.next)
    if row.key == tail.last_key:
        name = parse_object_key(row.key)
        starts_alike = name is not None and name.start_offset == row.first
        return tail._replace(last_etag=row.etag, reach=max(tail.reach, row.next)) if starts_alike else None
    if row.key < tail.last_key or len(row.key) != len(tail.last_key) or row.first > tail.reach:
        return None
    return Tail(row.key, row.etag, tail.last_key, even=tail.even, reach=max(tail.reach, row.next))


def to_note(tails: Mapping[str, Tail] | None) -> str | None:
    """What a commit says; None where there is nothing to say, or too much."""
    if not tails or not all(tail.even for tail in tails.values()):
        return None
    note = msgspec.json.encode({_NOTED: tails})
    return note.decode() if len(note) <= MOST_NOTE_BYTES else None


def from_note(note: str | None) -> dict[str, Tail] | None:
    """What a commit said; None for any other note."""
    try:
        return _decode(note or "")[_NOTED]
    except (msgspec.MsgspecError, KeyError):
        return None
