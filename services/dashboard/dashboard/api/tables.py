"""Rows as CSV and JSON, and the cursor that leads from one page of an answer to the next."""

import base64
import binascii
import csv
import io
import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response
from service_kit.spreadsheet import harmless

from dashboard.api.frame import RefusedError, bad
from dashboard.lake.answers import Answer, Row

_MOST_CURSOR = 20_000


def csv_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """A header and the very values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row[column] for column in columns])
    return text.getvalue()


def harmless_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows; a text that a spreadsheet would compute has an apostrophe in front."""
    return [{column: harmless(value) for column, value in row.items()} for row in rows]


def attached(body: str, name: str, kind: str) -> Response:
    """A file that a browser stores under this name and never shows as a page."""
    response = Response(body, content_type=f"{kind}; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def cursor(run_id: str, answer: Answer, row: Row) -> str:
    """What stands for the place behind this row of this run."""
    key = json.dumps([run_id, *(row[column] for column in answer.keys)]).encode()
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def behind(text: str | None, run_id: str, answer: Answer) -> list[str | int] | None:
    """The key that a cursor stands for; None where none is given.

    Raises:
        RefusedError: 400, it is no cursor of this answer; 409, it is one of another run.
    """
    if text is None:
        return None
    found = _decoded(text)
    if not isinstance(found, list) or len(found) != 1 + len(answer.keys) or not isinstance(found[0], str):
        raise bad("after must be the `next` of the page before")
    if found[0] != run_id:
        raise RefusedError(HTTPStatus.CONFLICT, "another run has ended since the page before; begin at the first page")
    for column, value in zip(answer.keys, found[1:], strict=True):
        if not _fits(column, value):
            raise bad("after must be the `next` of the page before")
    return found[1:]


def _decoded(text: str) -> Any:
    if len(text) > _MOST_CURSOR or not text.isascii():
        raise bad("after must be the `next` of the page before")
    try:
        return json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise bad("after must be the `next` of the page before") from error


def _fits(column: str, value: object) -> bool:
    if column == "post_year":
        return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31
    # Half a character, which JSON can escape, is no text.
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)
