"""``batch_analyser``: the job's tasks by hand, and what they left."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal

import click
from click.core import ParameterSource
from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table
from rich.text import Text
from service_kit.inert import json_text, visible
from service_kit.logs import configure_logging
from spark_kit.fence import FencedError, hold_fence
from spark_kit.jvm import JvmError
from spark_kit.session import build_session, stop_session

from batch_analyser.jobs import answers, audit, clean, ingest
from batch_analyser.jobs.catalogue import TASKS, ParameterError, check_parameters, run_task
from batch_analyser.lake import DamagedLakeError, Lake
from batch_analyser.objects.listing import BucketMissingError
from batch_analyser.policies import PolicyError, parse_policies
from batch_analyser.settings import AnalyserSettings

EXIT_FOUND = 1
"""The audit found something."""
EXIT_UNREACHABLE = 3
"""Another process holds the lake, a table of it is damaged, or the bucket or Java is not there."""

Format = Literal["table", "json"]

_format = click.option(
    "--format", "format_", type=click.Choice(["table", "json"]), default="table", help="How to print."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="pinterest-data-pipeline")
@click.option("--verbose", "-v", is_flag=True, help="Log what happens, as JSON lines.")
def main(verbose: bool) -> None:
    """From raw objects to answers.

    \b
    ingest   objects of the bucket      -> bronze/events
    clean    new rows of bronze         -> silver/{pin,geo,user}, quarantine/batch
    answers  silver                     -> gold/<answer>, runs
    audit    counts what ended where, and decides every record's fate again

    Every step does only what is new; done again, it changes nothing. LAKE_URI says where the tables are, such as
    file:///var/lake; the bucket is that of PIPELINE_ID. A lake has one writer: while the service runs, start runs
    there (pipeline analyse), not here.
    """
    configure_logging("batch_analyser", "INFO" if verbose else "ERROR")


@main.command("ingest")
@click.option("--all-keys", is_flag=True, help="List every object, not only those behind the last known ones.")
@_format
def ingest_command(all_keys: bool, format_: Format) -> None:
    """Read objects that are new or were written again."""
    with _session(writes=True) as (spark, settings):
        _show_report(asdict(ingest.run(spark, settings, all_keys=all_keys)), format_)


@main.command("clean")
@click.option("--replay", is_flag=True, help="Also try quarantined records again, after the cleaner was fixed.")
@_format
def clean_command(replay: bool, format_: Format) -> None:
    """Bring silver up to bronze."""
    with _session(writes=True) as (spark, settings):
        _show_report(asdict(clean.run(spark, settings, replay=replay)), format_)


@main.command("answers")
@click.option("--ties", type=click.Choice(["all", "first"]), default="all", help="Rows that share the first place.")
@click.option("--median", type=click.Choice(["exact", "lower"]), default="exact", help="Of two middle values.")
@click.option("--users", type=click.Choice(["persons", "posts"]), default="persons", help="What counts as a user.")
@click.option("--from", "from_year", type=int, help="First year of question 2.")
@click.option("--to", "to_year", type=int, help="Last year of question 2.")
@_format
@click.pass_context
def answers_command(context: click.Context, /, format_: Format, **policies: str | int | None) -> None:
    """Answer the eight questions.

    By the default policies the answers are stored, unless nothing is new. By any other they are computed and
    printed, and what is stored stays as it is.
    """
    options = {name.removesuffix("_year"): value for name, value in policies.items()}
    try:
        chosen = parse_policies(options)
    except PolicyError as error:
        raise click.UsageError(str(error)) from error
    asked = any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in policies)
    if asked and chosen != answers.DEFAULT:
        with _session(writes=False) as (spark, settings):
            _show_answers(answers.compute(spark, settings, chosen), {"policies": options}, format_)
        return
    with _session(writes=True) as (spark, settings):
        report = answers.run(spark, settings)
        if format_ == "table" and report.nothing_new:
            click.echo(f"nothing new; the answers are those of run {report.run_id}")
        _show_stored(spark, settings, format_)


@main.command("audit")
@click.option("--quick", is_flag=True, help="Only count; do not decide every record's fate again.")
@_format
def audit_command(quick: bool, format_: Format) -> None:
    """Account for every record of the lake. Exit code 1 where something is wrong."""
    with _session(writes=False) as (spark, settings):
        report = audit.run(spark, settings, recount=not quick)
    if format_ == "json":
        click.echo(json_text(asdict(report)))
    else:
        _print_rows("audit", [asdict(row) for row in report.rows])
        for problem in report.problems:
            click.echo(visible(f"problem: {problem}"))
        for entry in report.unreadable_objects:
            click.echo(visible(f"not read whole: {entry['object']}: {entry['problem']}"))
        click.echo("every record is accounted for" if report.ok else "the lake is not in order")
    sys.exit(0 if report.ok else EXIT_FOUND)


@main.command("run")
@click.option("--task", "only", multiple=True, type=click.Choice(TASKS), help="Only this task; may be repeated.")
@click.option("--parameter", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the job.")
def run_command(only: tuple[str, ...], parameters: tuple[str, ...]) -> None:
    """Run the whole job as the service does: ingest, clean, answers, audit. Prints a line of JSON per task."""
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    try:
        checked = check_parameters(given)
    except ParameterError as error:
        raise click.UsageError(str(error)) from error
    with _session(writes=True) as (spark, settings):
        for task in TASKS:
            if not only or task in only:
                click.echo(json_text({"task": task, "report": json.loads(run_task(spark, settings, task, checked))}))


@main.command("show")
@click.argument("table", required=False)
@click.option("--limit", default=20, show_default=True, help="At most this many rows.")
@_format
def show_command(table: str | None, limit: int, format_: Format) -> None:
    """Print the answers of the last complete run, or rows of TABLE (such as bronze/events)."""
    with _session(writes=False) as (spark, settings):
        if table is None:
            _show_stored(spark, settings, format_)
            return
        lake = Lake(spark, settings.lake_uri)
        if not lake.exists(table):
            _fail(f"there is no table {table} in {settings.lake_uri}", 2)
        rows = [row.asDict(recursive=True) for row in lake.read(table).limit(limit).collect()]
        if format_ == "json":
            click.echo(json_text(rows))
        else:
            _print_rows(table, rows)


@contextmanager
def _session(*, writes: bool) -> Iterator[tuple[SparkSession, AnalyserSettings]]:
    """Settings, the lake's lock where it is needed, and Spark; errors that a person can fix become one line."""
    settings = AnalyserSettings.load()
    try:
        if not writes:
            spark = build_session(settings.session())
            try:
                with Lake(spark, settings.lake_uri).named_damage():
                    yield spark, settings
            finally:
                stop_session(spark)
            return
        with hold_fence(settings.lake_uri, service="batch_analyser", area="batch") as fence:
            spark = build_session(settings.session(), inherit=fence.inheritable)
            try:
                with Lake(spark, settings.lake_uri).named_damage():
                    yield spark, settings
            finally:
                stop_session(spark)
    except (FencedError, JvmError, BucketMissingError, DamagedLakeError) as error:
        _fail(str(error), EXIT_UNREACHABLE)
    except audit.AuditError as error:
        _fail(str(error), EXIT_FOUND)


def _fail(message: str, code: int) -> None:
    click.echo(visible(f"error: {message}", keep="\n\t"), err=True)
    sys.exit(code)


def _show_report(report: Mapping[str, Any], format_: Format) -> None:
    if format_ == "json":
        click.echo(json_text(report))
        return
    for name, value in report.items():
        if isinstance(value, dict) and value and all(isinstance(inner, dict) for inner in value.values()):
            _print_rows(name, [{"name": key, **inner} for key, inner in value.items()])
        else:
            click.echo(visible(f"{name}: {value}"))


def _show_stored(spark: SparkSession, settings: AnalyserSettings, format_: Format) -> None:
    found = answers.stored(spark, settings)
    if found is None:
        _fail("there is no complete run yet; try: batch_analyser run", EXIT_FOUND)
        return
    run, tables = found
    _show_answers(tables, {"run_id": run["run_id"], "policies": run["policies"]}, format_)


def _show_answers(tables: Mapping[str, list[dict[str, Any]]], about: Mapping[str, Any], format_: Format) -> None:
    if format_ == "json":
        click.echo(json_text({**about, "answers": tables}))
        return
    for name, rows in tables.items():
        _print_rows(name, rows)
    for name, value in about.items():
        click.echo(visible(f"{name}: {value}"))


def _print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in rows[0] if rows else ["(no rows)"]:
        table.add_column(str(column))
    for row in rows:
        table.add_row(*[Text(visible(str(value))) for value in row.values()])
    Console().print(table)


if __name__ == "__main__":
    main()
