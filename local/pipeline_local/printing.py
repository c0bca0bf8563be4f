"""The only place that prints: text and tables cannot control the terminal, JSON is equivalent, CSV is exact."""

import csv
import io
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from service_kit.inert import json_text, visible
from service_kit.spreadsheet import harmless


class InertConsole(Console):
    """A console whose text is no markup, and moves no cursor. Styles come by ``Text``, data in it by ``cell``."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich asks this for every text that is printed, be it a line, a title or a cell."""
        return Text(visible(text, keep="\n"), style=options.get("style", ""), justify=options.get("justify"))


def console() -> InertConsole:
    """The screen."""
    return InertConsole(highlight=False)


def recorded() -> InertConsole:
    """A console as wide as the screen, whose text is exported and not shown."""
    return InertConsole(
        record=True, file=io.StringIO(), width=shutil.get_terminal_size((160, 40)).columns, highlight=False
    )


def cell(value: object) -> str:
    """One value in one cell: a line break in it is written as such, and begins no line."""
    return "" if value is None else visible(str(value))


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines, with control characters escaped."""
    click.echo(visible(text, keep="\n\t"), err=err, nl=nl)


def say_json(document: object, *, indent: int | None = None) -> None:
    """Print one JSON document."""
    click.echo(json_text(document, indent=indent))


def say_csv(rows: Iterable[Sequence[object]], *, spreadsheet_safe: bool) -> None:
    """Print rows with the very values, byte for byte; on a terminal they are inert.

    ``spreadsheet_safe`` puts an apostrophe before a text that a spreadsheet would compute.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([harmless(value) for value in row] if spreadsheet_safe else row for row in rows)
    if sys.stdout.isatty():
        say(text.getvalue(), nl=False)
    else:
        # As bytes: of a text, click drops what looks like an escape sequence.
        click.echo(text.getvalue().encode("utf-8"), nl=False)
