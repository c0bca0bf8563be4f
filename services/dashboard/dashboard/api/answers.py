"""``/api/v1/answers``: the answers of the newest complete run."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from dashboard.api.frame import RefusedError, answer, bad, missing, one_of, parameters, whole
from dashboard.api.tables import attached, behind, csv_text, cursor, harmless_rows
from dashboard.blocks import Block
from dashboard.lake.answers import Answer, Answers, Row, page
from dashboard.lake.answers_watch import AnswersWatch
from dashboard.lake.reader import LakeError
from dashboard.lake.runs import Run
from dashboard.words import iso

MOST: Final = 1_000
"""Rows of one page of the API."""
MOST_IN_FILE: Final = 100_000
"""Rows of one file that is downloaded whole."""


def blueprint(lake: AnswersWatch) -> Blueprint:
    """The resources, and the same as files below ``/answers``."""
    made = Blueprint("api_answers", __name__)

    def overview() -> Response:
        parameters()
        block = lake.answers.block()
        found = current(block)
        document = {
            "state": block.state,
            "run": _run(found.run),
            "answers": [_described(found.run, one) for one in found.tables.values()],
            "missing": list(found.missing),
        }
        return answer(document, f"{found.run.run_id} {block.state}")

    def table(name: str) -> Response:
        given = parameters("limit", "after", "format", "safe")
        form = one_of(given, "format", "json", ("json", "csv"))
        safe = _safe(given)
        most = whole(given, "limit", 100, MOST)
        run, found = named(lake, name)
        rows = read(lake, run, found, behind(given.get("after"), run.run_id, found), most + 1)
        more = len(rows) > most
        following = cursor(run.run_id, found, rows[most - 1]) if more else None
        shown = harmless_rows(rows[:most]) if safe else rows[:most]
        if form == "csv":
            response = Response(csv_text(found.columns, shown), content_type="text/csv; charset=utf-8")
            response.set_etag(run.run_id)
            response.make_conditional(request)
        else:
            document = {**_described(run, found), "run": _run(run), "rows": shown, "next": following}
            response = answer(document, run.run_id)
        if following is not None:
            query = urlencode({**given, "after": following})
            response.headers["Link"] = f'</api/v1/answers/{name}?{query}>; rel="next"'
        return response

    def file(name: str, form: str) -> Response:
        safe = _safe(parameters("safe"))
        run, found = named(lake, name)
        if found.total > MOST_IN_FILE:
            raise bad(f"{name} has {found.total:,} rows; read it in pages: /api/v1/answers/{name}")
        rows = read(lake, run, found, None, MOST_IN_FILE)
        rows = harmless_rows(rows) if safe else rows
        if form == "csv":
            response = attached(csv_text(found.columns, rows), f"{name}.csv", "text/csv")
        else:
            response = answer({**_described(run, found), "run": _run(run), "rows": rows})
            response.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
        response.set_etag(run.run_id)
        response.make_conditional(request)
        return response

    made.add_url_rule("/api/v1/answers", "answers", overview, methods=["GET"])
    made.add_url_rule("/api/v1/answers/<name>", "table", table, methods=["GET"])
    for form in ("csv", "json"):
        made.add_url_rule(f"/answers/<name>.{form}", form, file, methods=["GET"], defaults={"form": form})
    return made


def current(block: Block[Answers]) -> Answers:
    """The answers that are there.

    Raises:
        RefusedError: 404, nothing was analysed yet; 503, they were not read yet, or cannot be read.
    """
    if block.value is not None:
        return block.value
    if block.state == "empty":
        raise missing(f"{block.why}: {block.fills}")
    raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, block.why)


def named(lake: AnswersWatch, name: str) -> tuple[Run, Answer]:
    """One answer, and the run that has made it.

    Raises:
        RefusedError: as ``current``; 404 also where there is no such answer.
    """
    answers = current(lake.answers.block())
    if name in answers.missing:
        raise missing(f"the last run has no answer {name}: pipeline analyse")
    if name not in answers.tables:
        raise missing(f"there is no answer {name}; there are {', '.join(answers.tables)}")
    return answers.run, answers.tables[name]


def read(lake: AnswersWatch, run: Run, found: Answer, after: list[str | int] | None, most: int) -> list[Row]:
    """Rows of one answer; those that are not in memory are read from the lake.

    Raises:
        RefusedError: 503, they cannot be read.
    """
    try:
        return page(lake.reader, run, found, after, most)
    except LakeError as error:
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error


def _safe(given: dict[str, str]) -> bool:
    return one_of(given, "safe", "0", ("0", "1")) == "1"


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "policies": dict(run.policies),
        "posts": run.posts,
    }


def _described(run: Run, found: Answer) -> dict[str, Any]:
    columns = list(found.columns)
    return {"answer": found.name, "title": found.title, "run_id": run.run_id, "columns": columns, "total": found.total}
