"""Commands that read tables: answers, quarantine, query."""

import csv
import io
import json
from typing import Any, Final

import click
import duckdb
from pipeline_contracts.lake import QUARANTINE, STREAM_QUARANTINE
from rich.console import Console

from pipeline_local import answers as stored_answers
from pipeline_local import tables
from pipeline_local.analyser_client import AnalyserClient
from pipeline_local.audit.report import PATHS, PathName
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.lake import Lake
from pipeline_local.options import format_option, must_run, path_option, policy_options

_QUARANTINE: Final[dict[PathName, str]] = {"batch": QUARANTINE, "stream": STREAM_QUARANTINE}
FORMATS = click.Choice(["table", "json", "csv"])


def analyser(installation: Installation) -> AnalyserClient:
    """The analyser of a running installation."""
    service = installation.service("analyser")
    return AnalyserClient(service.url, service.environment["ANALYSER_TOKEN"])


@click.command()
@click.argument("names", nargs=-1)
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@policy_options
@click.pass_obj
def answers(installation: Installation, /, *, names: tuple[str, ...], form: str, **policies: str | int | None) -> None:
    """Print the answers of the last complete run: all nine tables, or those NAMED.

    With a policy switch the analyser computes them anew from the same rows, and stores nothing.
    """
    chosen = {name: str(value) for name, value in policies.items() if value is not None}
    lake = Lake(installation.layout.lake)
    if chosen:
        must_run(installation)
        found = stored_answers.computed(lake, analyser(installation), installation.names.job("batch"), chosen)
    else:
        found = stored_answers.stored(lake)
    unknown = set(names) - set(found.tables)
    if unknown:
        raise InstallationError(f"no answer {', '.join(sorted(unknown))}; there are: {', '.join(found.tables)}")
    stored_answers.show(found.only(names) if names else found, form)


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows to show.")
@click.option(
    "--replay",
    is_flag=True,
    help="Clean the batch path's quarantined records again (after a fix) and move those that pass.",
)
@path_option
@format_option
@click.pass_obj
def quarantine(installation: Installation, limit: int, replay: bool, path: PathName | None, form: str) -> None:
    """Show what could not be read: how many by reason, and each with its coordinate and its text."""
    if replay and path == "stream":
        raise click.UsageError("--replay is of the batch path alone; send a stream's records again")
    if replay:
        must_run(installation)
        analyser(installation).run(installation.names.job("batch"), {"replay": "true"}, only=["clean", "answers"])
    lake = Lake(installation.layout.lake)
    rows = [{"path": one, **row} for one in ([path] if path else PATHS) for row in lake.rows(_QUARANTINE[one])]
    if form == "json":
        click.echo(json.dumps(rows[:limit], default=str, indent=2))
    else:
        tables.print_quarantine(Console(), rows, limit)


@click.command()
@click.argument("sql")
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@click.pass_obj
def query(installation: Installation, sql: str, form: str) -> None:
    """Run SQL over the lake (DuckDB). `show tables` lists its tables.

    Such as `bronze_events`, `silver_pin`, `gold_…`, `stream_pinterest_pin_table` (every record) and
    `stream_pinterest_pin_current` (one row per post), `stream_profile_popularity`.
    """
    lake = Lake(installation.layout.lake)
    with lake.connect() as connection:
        try:
            result = connection.execute(sql)
            columns = [column[0] for column in result.description or []]
            rows = result.fetchall()
        except duckdb.Error as error:
            if not lake.tables():
                raise InstallationError("the lake has no tables yet: send events, then `pipeline analyse`") from error
            raise InstallationError(f"the query failed: {error}") from error
    click.echo(formatted(columns, rows, form), nl=False)


def formatted(columns: list[str], rows: list[tuple[Any, ...]], form: str) -> str:
    """Rows as a table, JSON or CSV, with a line break at the end."""
    if form == "json":
        documents = [dict(zip(columns, row, strict=True)) for row in rows]
        return json.dumps(documents, default=str, ensure_ascii=False) + "\n"
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        return text.getvalue()
    return tables.rendered(columns, rows)
