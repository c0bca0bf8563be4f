"""One record's way and fate, by key or coordinate; quarantine by pages, and one row of it with its bytes."""

from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, render_template, request
from pipeline_contracts.lake import REASONS
from pipeline_contracts.names import KINDS
from service_kit.clock import Clock

from dashboard.api import quarantine as held
from dashboard.api.frame import missing, parameters
from dashboard.api.records import ByKey, ByPlace, Ways, asked
from dashboard.blocks import Block, empty, error, fresh
from dashboard.lake.reader import LakeError
from dashboard.privacy import Privacy, redacted
from dashboard.records.held import PATHS, SOURCES, Count, Held, Key, Only
from dashboard.records.places import Fate, Place, Record
from dashboard.records.quarantine import Quarantine
from dashboard.words import shortened

SUMMARY: Final = 8
"""Counts that stand below the search."""
HEX_BYTES: Final = 2_048
FATES: Final[dict[Fate, tuple[str, str]]] = {
    "current": ("done", "current: it counts"),
    "superseded": ("done", "superseded by a later version"),
    "repeated": ("done", "repeated: an earlier record says the same"),
    "quarantined": ("bad", "quarantined: it cannot be read"),
    "dead_lettered": ("bad", "dead-lettered: it could not be archived"),
    "in_flight": ("waiting", "on its way"),
    "missing": ("bad", "missing"),
    "not_there_yet": ("waiting", "not there yet"),
    "unclear": ("unknown", "unclear: its object has no line for it"),
}
"""Each fate's state, and what is said of it."""


def blueprint(ways: Ways, quarantine: Quarantine, privacy: Privacy, clock: Clock) -> Blueprint:
    """Their routes. Views block while tables are read, some tenths of a second."""
    made = Blueprint("records", __name__)

    def records() -> str:
        search = asked(ways.names)
        shown = privacy.shows_personal(request.headers)
        found = {} if search is None else ways.find(search, with_value=shown)
        return render_template(
            "records.html",
            search=_fields(search),
            looked_for=_words(search),
            found=found,
            kinds=KINDS,
            names=[*ways.names.topics, *ways.names.streams],
            fates=FATES,
            counts=held.counts(quarantine, clock) if search is None else None,
            summary=SUMMARY,
            filtered=filtered,
            link=link,
            fields=lambda one: _told(one, shown=shown),
        )

    def listing() -> str:
        only, before, limit = held.asked()
        block = held.listing(quarantine, clock, only, limit, before)
        given = {"path": only.path, "source": only.source, "reason": only.reason}
        chosen = {name: text for name, text in given.items() if text is not None}
        following = None if block.value is None or block.value.before is None else block.value.before.text
        return render_template(
            "quarantine.html",
            block=block,
            counts=held.counts(quarantine, clock),
            chosen=chosen,
            only=only,
            later=before is not None,
            more=None if following is None else urlencode({**chosen, "before": following}),
            first=urlencode(chosen),
            choices={"path": PATHS, "source": SOURCES, "reason": REASONS},
            row_link=row_link,
            filtered=filtered,
            all=Only(),
        )

    def row() -> str:
        key = held.key_of(parameters("id").get("id", ""))
        shown = privacy.shows_personal(request.headers)
        block, raw = _row(quarantine, clock, key, with_bytes=shown)
        if block.state == "empty":
            raise missing("There is no such row in quarantine (any more)")
        return render_template(
            "quarantine_row.html",
            block=block,
            raw=raw,
            text=_text(raw),
            hex=_hex(raw[:HEX_BYTES]),
            hex_bytes=HEX_BYTES,
            id=key.text,
            record=_record_of(block.value, ways),
        )

    made.add_url_rule("/records", "records", records, methods=["GET"])
    made.add_url_rule("/records/quarantine", "quarantine", listing, methods=["GET"])
    made.add_url_rule("/records/quarantine/row", "row", row, methods=["GET"])
    return made


def link(place: Place) -> str:
    """The page of a record."""
    of = {"name": place.name, "partition": place.partition, "offset": place.offset, "log_id": place.log_id}
    return f"/records?{urlencode({name: text for name, text in of.items() if text}, errors='replace')}"


def filtered(count: Count) -> str:
    """The query of the rows that were counted."""
    return urlencode({"path": count.path, "source": count.source, "reason": count.reason}, errors="replace")


def row_link(one: Held) -> str:
    """The page of a row of quarantine."""
    return f"/records/quarantine/row?{urlencode({'id': one.key.text})}"


def _row(quarantine: Quarantine, clock: Clock, key: Key, *, with_bytes: bool) -> tuple[Block[Held], bytes]:
    try:
        found = quarantine.row(key)
        raw = quarantine.raw(key) if with_bytes and found is not None else None
    except LakeError as problem:
        return error(str(problem)), b""
    if found is None:
        return empty(clock.now(), "There is no such row"), b""
    return fresh(found, clock.now()), raw or b""


def _record_of(one: Held | None, ways: Ways) -> str | None:
    """The page of the record that a row is of, where it has a coordinate."""
    if one is None or one.offset is None or one.name not in {*ways.names.topics, *ways.names.streams}:
        return None
    return link(Place(one.key.path, one.name, one.log_id, one.partition, one.offset))


def _fields(search: ByKey | ByPlace | None) -> dict[str, str]:
    """What the form holds."""
    if isinstance(search, ByKey):
        return {"kind": search.kind, "key": str(search.key)}
    if search is None:
        return {}
    at = search.place
    return {"name": at.name, "partition": at.partition, "offset": at.offset, "log_id": at.log_id}


def _words(search: ByKey | ByPlace | None) -> str:
    if isinstance(search, ByKey):
        return f"{search.kind} {search.key}"
    return (
        "" if search is None else f"{search.place.name} / {search.place.partition} / {shortened(search.place.offset)}"
    )


def _told(one: Record, *, shown: bool) -> dict[str, Any]:
    """The cleaned columns that have a value."""
    return {name: value for name, value in redacted(one.fields, shown=shown).items() if value is not None}


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _hex(raw: bytes) -> str:
    """As hexdump shows it: position, sixteen bytes, and those of them that are ASCII."""
    lines = []
    for at in range(0, len(raw), 16):
        part = raw[at : at + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        lines.append(f"{at:08x}  {part[:8].hex(' '):<23}  {part[8:].hex(' '):<23}  {letters}")
    return "\n".join(lines)
