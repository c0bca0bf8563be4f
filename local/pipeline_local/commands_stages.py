"""Commands that ask Kafka, S3 and Kinesis, whose clients take a moment to import: analyse, audit."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import click
import duckdb
from pipeline_contracts.audits import PATHS, PathName

from pipeline_local import printing, tables
from pipeline_local.audit.collect import audit_paths
from pipeline_local.audit.keep import keep
from pipeline_local.audit.report import EXIT_UNREACHABLE, Audit
from pipeline_local.audit.stages import StageUnreachableError
from pipeline_local.commands_data import analyser
from pipeline_local.flow import await_archived
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.locks import LockError
from pipeline_local.needs import ARCHIVE, READ_BY_AUDIT, must_serve, watching
from pipeline_local.options import format_option, path_option

ARCHIVE_DEADLINE_S = 300.0
ANALYSIS = ("ingest", "clean", "answers")
"""The tasks of an analysis here. The job's last one, which audits the lake alone, is left to `pipeline audit`."""


@click.command()
@format_option
@click.pass_obj
def analyse(installation: Installation, form: str) -> None:
    """Turn what was sent into answers: ingest, clean, answer; shows each task's seconds.

    Waits first until the sink has archived what the topics hold. Reads only what is new; with nothing new it
    changes nothing.
    """
    must_serve(installation, *ARCHIVE, "analyser")
    await_archived(installation, ARCHIVE_DEADLINE_S, on_wait=watching(installation, *ARCHIVE))
    seconds: dict[str, float] = {}

    def told(task: str, taken: float) -> None:
        seconds[task] = taken
        if form == "table":
            printing.say(f"{task}: {taken:.1f} s")

    outputs = analyser(installation).run(installation.names.job("batch"), {}, told, only=ANALYSIS)
    if form == "json":
        printing.say_json({"seconds": seconds, "outputs": outputs})


def keep_audit(installation: Installation, found: Audit, paths: Sequence[PathName], seconds: float) -> None:
    """Store an audit that ended now. Where that fails the verdict holds as well: a line says so."""
    try:
        keep(installation.layout.audits, found, paths, datetime.now(UTC), seconds)
    except (OSError, LockError, ValueError) as error:
        printing.say(f"this audit is not stored, and the dashboard does not show it: {error}", err=True)


@click.command()
@path_option
@format_option
@click.pass_obj
def audit(installation: Installation, path: PathName | None, form: str) -> None:
    """Account for every record of both paths: acknowledged, stored, and the one fate of each.

    The verdict is stored, too, for the dashboard.

    Exit code 0: all accounted for; 1: something is missing, doubled, altered, expired or cut off; 3: a stage cannot be
    reached or a table is damaged; 4: records are still on their way (analyse, then audit again).
    """
    try:
        paths = [path] if path else PATHS
        must_serve(installation, *(service for one in paths for service in READ_BY_AUDIT[one]))
        started = time.monotonic()
        found = audit_paths(installation, paths)
        keep_audit(installation, found, paths, time.monotonic() - started)
    except (InstallationError, StageUnreachableError, duckdb.Error) as error:
        printing.say(f"cannot audit: {error}", err=True)
        sys.exit(EXIT_UNREACHABLE)
    if form == "json":
        printing.say_json(found.as_document(), indent=2)
    else:
        tables.print_audit(printing.console(), found)
    sys.exit(found.exit_code)
