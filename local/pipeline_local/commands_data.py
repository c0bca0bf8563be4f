"""Commands that make or read tables: analyse, answers, audit, quarantine, query."""

import csv
import io
import json
import sys
from typing import Any, Final

import click
import duckdb
from pipeline_contracts.lake import QUARANTINE, STREAM_QUARANTINE
from rich.console import Console

from pipeline_local import answers as stored_answers
from pipeline_local import tables
from pipeline_local.analyser_client import AnalyserClient
from pipeline_local.audit.collect import audit_paths
from pipeline_local.audit.report import EXIT_UNREACHABLE, PATHS, PathName
from pipeline_local.audit.stages import StageUnreachableError
from pipeline_local.flow import await_archived
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.lake import Lake
from pipeline_local.options import format_option, must_run

ARCHIVE_DEADLINE_S = 300.0
ANALYSIS = ("ingest", "clean", "answers")
"""The tasks of an analysis here. The job's last one, which audits the lake alone, is left to `pipeline audit`."""
_QUARANTINE: Final[dict[PathName, str]] = {"batch": QUARANTINE, "stream": STREAM_QUARANTINE}
FORMATS = click.Choice(["table", "json", "csv"])

path_option = click.option("--path", type=click.Choice(PATHS), help="Of one path alone. Default: both.")


def policy_options(function: Any) -> Any:
    """The switches of the questions."""
    for option in (
        click.option("--ties", type=click.Choice(["all", "first"]), help="Keep all of a tie, or the first."),
        click.option("--median", type=click.Choice(["exact", "lower"]), help="Mean of the middle two, or the lower."),
        click.option("--users", type=click.Choice(["persons", "posts"]), help="A user is a person, or one per post."),
        click.option("--from", "from", type=int, help="First year of question 2."),
        click.option("--to", "to", type=int, help="Last year of question 2."),
    ):
        function = option(function)
    return function


def analyser(installation: Installation) -> AnalyserClient:
    """The analyser of a running installation."""
    service = installation.service("analyser")
    return AnalyserClient(service.url, service.environment["ANALYSER_TOKEN"])


@click.command()
@format_option
@click.pass_obj
def analyse(installation: Installation, form: str) -> None:
    """Turn what was sent into answers: ingest, clean, answer; shows each task's seconds.

    Waits first until the sink has archived what the topics hold. Reads only what is new; with nothing new it
    changes nothing.
    """
    must_run(installation)
    await_archived(installation, ARCHIVE_DEADLINE_S)
    seconds: dict[str, float] = {}

    def told(task: str, taken: float) -> None:
        seconds[task] = taken
        if form == "table":
            click.echo(f"{task}: {taken:.1f} s")

    outputs = analyser(installation).run(installation.names.job("batch"), {}, told, only=ANALYSIS)
    if form == "json":
        click.echo(json.dumps({"seconds": seconds, "outputs": outputs}))


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
@path_option
@format_option
@click.pass_obj
def audit(installation: Installation, path: PathName | None, form: str) -> None:
    """Account for every record of both paths: acknowledged, stored, and the one fate of each.

    Exit code 0: all accounted for; 1: something is missing, doubled, altered or expired; 3: a stage cannot be
    reached; 4: records are still on their way (analyse, then audit again).
    """
    try:
        must_run(installation)
        found = audit_paths(installation, [path] if path else PATHS)
    except (InstallationError, StageUnreachableError, duckdb.Error) as error:
        click.echo(f"cannot audit: {error}", err=True)
        sys.exit(EXIT_UNREACHABLE)
    if form == "json":
        click.echo(json.dumps(found.as_document(), indent=2))
    else:
        tables.print_audit(Console(), found)
    sys.exit(found.exit_code)


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
