"""``/api/v1/quarantine``, ``/counts`` and ``/raw``: what could not be read, by pages, and the bytes of one row."""

import logging
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Response, request
from service_kit.clock import Clock

from dashboard.api.frame import RefusedError, answer, bad, described, missing, one_of, parameters, whole
from dashboard.blocks import Block, empty, error, fresh
from dashboard.lake.reader import LakeError
from dashboard.privacy import Privacy
from dashboard.records.held import PATHS, SOURCES, Count, Held, Key, Listing, Only
from dashboard.records.quarantine import Quarantine
from dashboard.words import iso

logger = logging.getLogger(__name__)

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_CHARS: Final = 200
_ID_CHARS: Final = 8_000
NOTHING: Final = "Nothing is held in quarantine"
NO_MATCH: Final = "Nothing in quarantine matches"


def blueprint(quarantine: Quarantine, privacy: Privacy, clock: Clock) -> Blueprint:
    """Their routes. Views block while tables are read, some tenths of a second."""
    made = Blueprint("api_quarantine", __name__)

    def rows() -> Response:
        only, before, limit = asked("limit")
        block = listing(quarantine, clock, only, limit, before)
        found = block.value
        shown = privacy.shows_personal(request.headers)
        return answer(
            {
                **described(block),
                "rows": [_document(one, shown=shown) for one in (() if found is None else found.rows)],
                "before": None if found is None or found.before is None else found.before.text,
            }
        )

    def counted() -> Response:
        parameters()
        block = counts(quarantine, clock)
        return answer(
            {
                **described(block),
                "counts": [
                    {"path": one.path, "source": one.source, "reason": one.reason, "rows": one.rows}
                    for one in block.value or ()
                ],
            }
        )

    def raw() -> Response:
        key = key_of(parameters("id").get("id", ""))
        if not privacy.shows_personal(request.headers):
            raise RefusedError(HTTPStatus.FORBIDDEN, privacy.how_to_show)
        try:
            found = quarantine.raw(key)
        except LakeError as problem:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(problem)) from problem
        if found is None:
            raise missing("there is no such row in quarantine (any more)")
        logger.info("raw bytes were opened", extra={"who": privacy.who(request.headers), "id": key.text})
        response = Response(found, content_type="application/octet-stream")
        response.headers["Content-Disposition"] = 'attachment; filename="quarantined.bin"'
        response.headers["Cache-Control"] = "no-store"
        return response

    for path, name, view in (("", "rows", rows), ("/counts", "counts", counted), ("/raw", "raw", raw)):
        made.add_url_rule(f"/api/v1/quarantine{path}", name, view, methods=["GET"])
    return made


def asked(*more: str) -> tuple[Only, Key | None, int]:
    """The filter, where the page begins, and how many rows; an empty parameter is none.

    Raises:
        RefusedError: with 400.
    """
    given = {name: text for name, text in parameters("path", "source", "reason", "before", *more).items() if text}
    one_of(given, "path", "", PATHS)
    one_of(given, "source", "", SOURCES)
    reason = given.get("reason")
    if reason is not None and len(reason) > _CHARS:
        raise bad(f"reason is longer than {_CHARS} characters")
    path = next((path for path in PATHS if path == given.get("path")), None)
    before = key_of(given["before"], "before") if "before" in given else None
    return Only(path, given.get("source"), reason), before, whole(given, "limit", DEFAULT_LIMIT, MAX_LIMIT)


def key_of(text: str, name: str = "id") -> Key:
    """A row's key as an address has it.

    Raises:
        RefusedError: with 404; 400 where there is none.
    """
    if not text:
        raise bad(f"the parameter {name} is missing")
    try:
        if len(text) > _ID_CHARS:
            raise ValueError("too long")
        return Key.read(text)
    except ValueError as problem:
        raise missing(f"there is nothing with this {name}") from problem


def listing(quarantine: Quarantine, clock: Clock, only: Only, most: int, before: Key | None) -> Block[Listing]:
    """A page as a block."""
    try:
        found = quarantine.listing(only, most, before)
    except LakeError as problem:
        return error(str(problem))
    if not found.rows:
        return empty(clock.now(), NOTHING if only == Only() else NO_MATCH)
    return fresh(found, clock.now())


def counts(quarantine: Quarantine, clock: Clock) -> Block[list[Count]]:
    """The counts as a block."""
    try:
        found = quarantine.counts()
    except LakeError as problem:
        return error(str(problem))
    return fresh(found, clock.now()) if found else empty(clock.now(), NOTHING)


def _document(one: Held, *, shown: bool) -> dict[str, Any]:
    return {
        "id": one.key.text,
        "path": one.key.path,
        "source": one.source,
        "reason": one.reason,
        "name": one.name,
        "log_id": one.log_id,
        "partition": one.partition,
        "offset": one.offset,
        "recorded_at": None if one.recorded_at is None else iso(one.recorded_at),
        "quarantined_at": None if one.quarantined_at is None else iso(one.quarantined_at),
        "object_key": one.object_key,
        "line": one.line,
        "size": one.size,
        "sha256": one.sha256,
        "text": one.text if shown else None,
    }
