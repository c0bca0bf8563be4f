"""``/api/v1/audit`` and ``/api/v1/audits``: the newest audit of each path, or one by its name; all that are stored."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from flask import Blueprint, Response
from pipeline_contracts.audits import MOST_AUDITS, PathName
from service_kit.clock import Clock

from dashboard.api.frame import RefusedError, answer, described, parameters, whole
from dashboard.audits.folder import AuditsFolder, Named, NoAuditError, Summary
from dashboard.audits.verdict import RecordsInLake, judged, since
from dashboard.words import iso

DEFAULT_LIMIT: Final = 20


def blueprint(folder: AuditsFolder, totals: Callable[[], RecordsInLake], clock: Clock) -> Blueprint:
    """Their routes. A view waits for nothing, but one named audit is read from the disk when it is asked for."""
    made = Blueprint("api_audit", __name__)

    def audit() -> Response:
        name = parameters("name").get("name")
        if name is not None:
            return answer(_document([named(folder, name)]))
        block, known = folder.block(), totals()
        verdict = judged(block, known, clock.now())
        found = block.value
        return answer(
            {
                **described(block),
                "verdict": None if verdict.value is None else msgspec.to_builtins(verdict.value),
                "since": {} if found is None else dict(since(found, known)),
                **_document([] if found is None else found.newest.values()),
            }
        )

    def audits() -> Response:
        limit = whole(parameters("limit"), "limit", DEFAULT_LIMIT, MOST_AUDITS)
        block = folder.block()
        found = block.value
        return answer(
            {
                **described(block),
                "audits": [_summary(one) for one in (() if found is None else found.history[:limit])],
                "skipped": [msgspec.to_builtins(one) for one in (() if found is None else found.skipped)],
            }
        )

    made.add_url_rule("/api/v1/audit", "audit", audit, methods=["GET"])
    made.add_url_rule("/api/v1/audits", "audits", audits, methods=["GET"])
    return made


def named(folder: AuditsFolder, name: str) -> Named:
    """One audit by its name.

    Raises:
        RefusedError: with 404.
    """
    try:
        return folder.one(name)
    except NoAuditError as error:
        raise RefusedError(HTTPStatus.NOT_FOUND, str(error)) from error


def _document(found: Iterable[Named]) -> dict[str, Any]:
    """The newest audit of each path, by path; where one audit is of both paths it stands at both, with its own rows."""
    paths: dict[PathName, Any] = {}
    for one in found:
        for path in one.audit.paths:
            if path not in paths:
                paths[path] = {
                    "name": one.name,
                    "finished_at": iso(one.audit.finished_at),
                    "seconds": one.audit.seconds,
                    "ranges_left_out": one.audit.ranges_left_out,
                    "rows": [msgspec.to_builtins(row) for row in one.audit.rows if row.path == path],
                }
    return {"paths": paths}


def _summary(one: Summary) -> dict[str, Any]:
    return {
        "name": one.name,
        "finished_at": iso(one.audit.finished_at),
        "seconds": one.audit.seconds,
        "exit_code": one.audit.exit_code,
        "paths": one.audit.paths,
        "records": one.records,
        "missing": one.missing,
        "in_flight": one.in_flight,
        "wrong_partitions": one.wrong,
    }
