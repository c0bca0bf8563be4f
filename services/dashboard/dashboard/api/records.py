"""``/api/v1/records`` and ``/records/at``: way and fate of a post's records by its key, of one by its coordinate."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import Blueprint, Response, request
from pipeline_contracts import objects
from pipeline_contracts.names import KINDS, Kind, Names
from service_kit.clock import Clock

from dashboard.api.frame import answer, bad, described, missing, parameters, whole
from dashboard.blocks import Block, empty, error, fresh
from dashboard.lake.reader import LakeError, LakeReader
from dashboard.privacy import Privacy, redacted
from dashboard.records.batch_way import BatchWay
from dashboard.records.places import Found, Path, Place, Record
from dashboard.records.stream_way import StreamWay
from dashboard.words import iso

KEY: Final = ("kind", "key")
COORDINATE: Final = ("name", "partition", "offset", "log_id")
_MAX_KEY: Final = 2**31 - 1
_CHARS: Final = 500
_SEQUENCE: Final = re.compile(r"[0-9]{1,128}(\.[0-9]{1,9})?")


@dataclass(frozen=True)
class ByKey:
    """The records of one post."""

    kind: Kind
    key: int


@dataclass(frozen=True)
class ByPlace:
    """The record at a coordinate; without ``log_id`` one of each log of this name."""

    kind: Kind
    place: Place

    @property
    def log_id(self) -> str | None:
        """None: not asked for."""
        return self.place.log_id or None


class Ways:
    """Both paths' records, each path as a block. Blocks for some tenths of a second."""

    def __init__(self, reader: LakeReader, names: Names, clock: Clock) -> None:
        self.names = names
        self._batch = BatchWay(reader, names)
        self._stream = StreamWay(reader, names)
        self._clock = clock

    def find(self, asked: ByKey | ByPlace, *, with_value: bool) -> dict[Path, Block[Found]]:
        """By a key both paths are asked, by a coordinate the one that it is of."""
        if isinstance(asked, ByKey):
            kind, key = asked.kind, asked.key
            return {
                "batch": self._block(
                    lambda: self._batch.by_key(kind, key, with_value=with_value),
                    "No record of this post is in the lake",
                    "pipeline analyse",
                ),
                "stream": self._block(
                    lambda: self._stream.by_key(kind, key, with_value=with_value),
                    "No stream table has a record of this post",
                ),
            }
        kind, at, log_id = asked.kind, asked.place, asked.log_id
        if at.path == "batch":
            partition, offset = int(at.partition), int(at.offset)
            found = self._block(lambda: self._batch.by_place(kind, partition, offset, log_id, with_value=with_value))
        else:
            found = self._block(
                lambda: self._stream.by_place(kind, at.partition, at.offset, log_id, with_value=with_value)
            )
        return {at.path: found}

    def _block(self, find: Callable[[], Found], nothing: str = "", fills: str = "") -> Block[Found]:
        """What is found; where that is nothing, ``nothing`` says so. By a coordinate there is always something."""
        now = self._clock.now()
        try:
            found = find()
        except LakeError as problem:
            return error(str(problem))
        if not found.records:
            return empty(now, nothing, fills)
        return fresh(found, now)


def blueprint(ways: Ways, privacy: Privacy) -> Blueprint:
    """Its route."""
    made = Blueprint("api_records", __name__)

    def found(search: ByKey | ByPlace) -> Response:
        shown = privacy.shows_personal(request.headers)
        parts = ways.find(search, with_value=shown)
        return answer({path: _part(block, shown=shown) for path, block in parts.items()})

    def records() -> Response:
        return found(_by_key(parameters(*KEY)))

    def at() -> Response:
        return found(_by_place(ways.names, parameters(*COORDINATE)))

    made.add_url_rule("/api/v1/records", "records", records, methods=["GET"])
    made.add_url_rule("/api/v1/records/at", "at", at, methods=["GET"])
    return made


def asked(names: Names) -> ByKey | ByPlace | None:
    """What a request for the page looks for; None: nothing. White space around is no part of it.

    Raises:
        RefusedError: with 400; with 404 where there can be no such record.
    """
    given = {name: text.strip() for name, text in parameters(*KEY, *COORDINATE).items() if text.strip()}
    if not given:
        return None
    if given.keys() & set(KEY):
        if given.keys() & set(COORDINATE):
            raise bad("a key goes with a kind, and with nothing else")
        return _by_key(given)
    return _by_place(names, given)


def _by_key(given: Mapping[str, str]) -> ByKey:
    for name in KEY:
        if name not in given:
            raise bad(f"the parameter {name} is missing")
    kind = next((kind for kind in KINDS if kind == given["kind"]), None)
    if kind is None:
        raise bad(f"kind must be one of {', '.join(KINDS)}, not {given['kind']!r}")
    return ByKey(kind, whole(given, "key", 0, _MAX_KEY, least=0))


def _by_place(names: Names, given: Mapping[str, str]) -> ByPlace:
    for name in COORDINATE[:3]:
        if not given.get(name):
            raise bad(f"the parameter {name} is missing")
    for name, text in given.items():
        if len(text) > _CHARS:
            raise bad(f"{name} is longer than {_CHARS} characters")
    name, partition, offset, log_id = (given.get(one, "") for one in COORDINATE)
    if not _SEQUENCE.fullmatch(offset):
        raise bad(f"offset must be a number, of a stream with .1, .2, … for a sub-record, not {offset!r}")
    if name in names.streams:
        return ByPlace(names.streams[name], Place("stream", name, log_id, partition, offset))
    if name not in names.topics:
        raise missing(f"there is no {name!r}; there are {', '.join([*names.topics, *names.streams])}")
    numbers = (objects.integer(partition, objects.MAX_PARTITION), objects.integer(offset, objects.MAX_OFFSET))
    if None in numbers:
        raise missing(f"a topic has no partition {partition!r} with an offset {offset!r}")
    return ByPlace(names.topics[name], Place("batch", name, log_id, str(numbers[0]), str(numbers[1])))


def _part(block: Block[Found], *, shown: bool) -> dict[str, Any]:
    found = block.value
    return {
        **described(block),
        "more": found is not None and found.more,
        "records": [_document(one, shown=shown) for one in (() if found is None else found.records)],
    }


def _document(one: Record, *, shown: bool) -> dict[str, Any]:
    return {
        **_place(one.place),
        "kind": one.kind,
        "fate": one.fate,
        "recorded_at": None if one.recorded_at is None else iso(one.recorded_at),
        # Few people, ages and days can be told apart: whoever guesses them could tell by the hash.
        "content_hash": one.content_hash if shown else None,
        "fields": {
            name: iso(value) if isinstance(value, datetime) else value
            for name, value in redacted(one.fields, shown=shown).items()
        },
        "value": one.value if shown else None,
        "steps": [
            {
                "title": step.title,
                "state": step.state,
                "text": step.text,
                "at": None if step.at is None else iso(step.at),
                "other": None if step.other is None else _place(step.other),
            }
            for step in one.steps
        ],
    }


def _place(place: Place) -> dict[str, str]:
    return {
        "path": place.path,
        "name": place.name,
        "log_id": place.log_id,
        "partition": place.partition,
        "offset": place.offset,
    }
