"""Commands that read tables: answers, quarantine, query."""

from typing import Any, Final

import click
import duckdb
from pipeline_contracts.audits import PATHS, PathName
from pipeline_contracts.lake import QUARANTINE, STREAM_QUARANTINE

from pipeline_local import answers as stored_answers
from pipeline_local import printing, tables
from pipeline_local.analyser_client import AnalyserClient
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.lake import DamagedLakeError, Lake
from pipeline_local.needs import must_serve, watching
from pipeline_local.options import format_option, path_option, policy_options

_QUARANTINE: Final[dict[PathName, str]] = {"batch": QUARANTINE, "stream": STREAM_QUARANTINE}
FORMATS = click.Choice(["table", "json", "csv"])
spreadsheet_option = click.option(
    "--spreadsheet-safe",
    is_flag=True,
    help="With --format csv: put an apostrophe before texts that a spreadsheet would take for a formula.",
)


def analyser(installation: Installation) -> AnalyserClient:
    """The analyser of a running installation."""
    service = installation.service("analyser")
    token = service.environment["ANALYSER_TOKEN"]
    return AnalyserClient(service.url, token, watching(installation, "analyser"))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@spreadsheet_option
@policy_options
@click.pass_obj
def answers(
    installation: Installation,
    /,
    *,
    names: tuple[str, ...],
    form: str,
    spreadsheet_safe: bool,
    **policies: str | int | None,
) -> None:
    """Print the answers of the last complete run: all nine tables, or those NAMED.

    With a policy switch the analyser recomputes them from the same rows, and stores nothing. CSV holds the values as
    they are in the lake.
    """
    _must_be_csv(spreadsheet_safe, form)
    chosen = {name: str(value) for name, value in policies.items() if value is not None}
    lake = Lake(installation.layout.lake)
    if chosen:
        must_serve(installation, "analyser")
        found = stored_answers.computed(lake, analyser(installation), installation.names.job("batch"), chosen)
    else:
        with lake.named_damage():
            found = stored_answers.stored(lake)
    unknown = set(names) - set(found.tables)
    if unknown:
        raise InstallationError(f"no answer {', '.join(sorted(unknown))}; there are: {', '.join(found.tables)}")
    stored_answers.show(found.only(names) if names else found, form, spreadsheet_safe=spreadsheet_safe)


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
        must_serve(installation, "analyser")
        analyser(installation).run(installation.names.job("batch"), {"replay": "true"}, only=["clean", "answers"])
    lake = Lake(installation.layout.lake)
    with lake.named_damage():
        rows = [{"path": one, **row} for one in ([path] if path else PATHS) for row in lake.rows(_QUARANTINE[one])]
    if form == "json":
        printing.say_json(rows[:limit], indent=2)
    else:
        tables.print_quarantine(printing.console(), rows, limit)


@click.command()
@click.argument("sql")
@click.option("--format", "form", type=FORMATS, default="table", show_default=True)
@spreadsheet_option
@click.pass_obj
def query(installation: Installation, sql: str, form: str, spreadsheet_safe: bool) -> None:
    """Run SQL over the lake (DuckDB), which can read its tables and nothing else.

    `show tables` lists them, such as `bronze_events`, `silver_pin`, `gold_…`, `stream_pinterest_pin_table`
    (every record), `stream_pinterest_pin_current` (one row per post) and `stream_profile_popularity`.
    """
    _must_be_csv(spreadsheet_safe, form)
    lake = Lake(installation.layout.lake)
    with lake.named_damage(), lake.connect() as connection:
        try:
            result = connection.execute(sql)
            columns = [column[0] for column in result.description or []]
            rows = result.fetchall()
        except duckdb.Error as error:
            if not lake.tables():
                raise InstallationError("the lake has no tables yet: send events, then `pipeline analyse`") from error
            of_reading = isinstance(error, duckdb.IOException | duckdb.InvalidInputException)
            if damaged := lake.damage(deep=of_reading):
                raise DamagedLakeError("; ".join(damaged)) from error
            raise InstallationError(f"the query failed: {error}") from error
    show(columns, rows, form, spreadsheet_safe=spreadsheet_safe)


def show(columns: list[str], rows: list[tuple[Any, ...]], form: str, *, spreadsheet_safe: bool = False) -> None:
    """Print rows as a table, JSON or CSV."""
    if form == "json":
        printing.say_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif form == "csv":
        printing.say_csv([columns, *rows], spreadsheet_safe=spreadsheet_safe)
    else:
        printing.say(tables.rendered(columns, rows), nl=False)


def _must_be_csv(spreadsheet_safe: bool, form: str) -> None:
    if spreadsheet_safe and form != "csv":
        raise click.UsageError("--spreadsheet-safe needs --format csv")
