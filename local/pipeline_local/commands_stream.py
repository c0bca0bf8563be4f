"""Commands of the stream path: who is popular now."""

from collections.abc import Mapping
from typing import Any

import click

from pipeline_local import printing, tables
from pipeline_local.installation import Installation
from pipeline_local.needs import must_serve
from pipeline_local.options import format_option
from pipeline_local.reader_client import ReaderClient

POPULAR_LIMIT = 20


def reader(installation: Installation) -> ReaderClient:
    """The stream reader of a running installation."""
    return ReaderClient(installation.service("stream-reader").url)


@click.command()
@click.option("--limit", type=click.IntRange(1), default=POPULAR_LIMIT, show_default=True, help="How many profiles.")
@click.option("--category", help="Only posts of this category.")
@click.option("--country", help="Only posts from this country.")
@click.option("--age-group", help="Only posts by users of this age group, such as 18-24.")
@format_option
@click.pass_obj
def popular(installation: Installation, /, *, limit: int, form: str, **filters: str | None) -> None:
    """Print the profiles that are popular now, the highest score first.

    A post counts less the older it is: half as much after the half life.
    """
    must_serve(installation, "stream-reader")
    found = reader(installation).popular(limit, {name: value for name, value in filters.items() if value})
    if form == "json":
        printing.say_json(found)
    else:
        show_popular(printing.console(), found)


def show_popular(console: printing.InertConsole, found: Mapping[str, Any]) -> None:
    """The profiles as a table, and what their scores mean."""
    tables.print_popular(console, found["profiles"])
    console.print(f"as of {found['as_of']}, half life {found['half_life_s']} s")
