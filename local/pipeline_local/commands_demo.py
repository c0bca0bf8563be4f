"""``pipeline demo``: the whole system once, from nothing to answers and the proof that no record is missing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pipeline_local import answers as stored_answers
from pipeline_local import commands_data, tables
from pipeline_local.analyser_client import AnalyserError
from pipeline_local.audit.collect import audit_batch_path
from pipeline_local.flow import await_archived
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.lake import Lake
from pipeline_local.topology import WITHOUT

DEFAULT_EVENTS = 10_000


@dataclass
class Stopwatch:
    """Seconds of each stage, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage and say that it begins."""
        click.echo(f"== {name}", err=True)
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)


@click.command()
@click.option(
    "--source", help="A folder with pin.jsonl, geo.jsonl and user.jsonl, or a database URL. Default: made-up posts."
)
@click.option(
    "--events",
    type=click.IntRange(1),
    help=f"How many events of all kinds. Default: all of SOURCE, or {DEFAULT_EVENTS:,}.",
)
@click.option("--seed", default=1, show_default=True, help="Of the made-up posts.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), default="report.json", show_default=True)
@click.option("--keep", is_flag=True, help="Leave everything running at the end.")
@click.pass_obj
def demo(
    installation: Installation,
    /,
    *,
    source: str | None,
    events: int | None,
    seed: int,
    report: Path,
    keep: bool,
) -> None:
    """Start everything on an empty state, send posts, answer the questions, account for every record, stop.

    It has a state folder of its own, which it empties first; what `pipeline up` keeps is not touched. The report
    holds the same as the screen: events sent, audit, answers, seconds of each stage.
    """
    if installation.runs:
        raise InstallationError("the pipeline is running; `pipeline down` first (its state stays), then the demo")
    own = Installation(replace(installation.layout, home=installation.layout.home.parent / "demo"))
    os.environ["PIPELINE_HOME"] = str(own.layout.home)
    os.environ.setdefault("ANALYSER_SHORT_LIVED", "true")
    os.environ.setdefault(WITHOUT, "airflow")
    if own.layout.home.exists():
        own.reset()
    watch = Stopwatch()
    started = time.monotonic()
    try:
        document = _run(own, _emitter_arguments(source, events, seed), watch)
    except BaseException:
        if not keep:
            own.down()
        raise
    if keep:
        click.echo(f"still running; to look around: export PIPELINE_HOME={own.layout.home}", err=True)
    else:
        with watch.stage("stop"):
            own.down()
    watch.seconds["total"] = round(time.monotonic() - started, 2)
    document["seconds"] = watch.seconds
    report.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in watch.seconds.items())
    click.echo(f"{stages}\nreport: {report}")
    sys.exit(0 if document["audit"]["ok"] else 1)


def _run(installation: Installation, emitter_arguments: list[str], watch: Stopwatch) -> dict[str, Any]:
    with watch.stage("start"):
        installation.up(lambda line: click.echo(line, err=True))
    with watch.stage("send"):
        done = commands_data.run_emitter(installation, emitter_arguments, stdout=subprocess.PIPE)
        if done.returncode not in {0, 1}:
            raise InstallationError(f"the emitter failed with exit code {done.returncode}; its lines above say why")
        summary = json.loads(done.stdout)
    with watch.stage("archive"):
        await_archived(installation, commands_data.ARCHIVE_DEADLINE_S)
    with watch.stage("analyse"):
        try:
            commands_data.analyser(installation).run(
                installation.names.job("batch"),
                {},
                lambda task, seconds: click.echo(f"{task}: {seconds:.1f} s", err=True),
                only=commands_data.ANALYSIS,
            )
        except AnalyserError as error:
            raise InstallationError(str(error)) from error
    with watch.stage("audit"):
        found = audit_batch_path(installation)
    answers = stored_answers.stored(Lake(installation.layout.lake))
    stored_answers.show(answers, "table")
    tables.print_audit(Console(), found)
    return {
        "events": {"sent": summary["sent"]},
        "audit": found.as_document(),
        "answers": answers.tables,
        "seconds": {},
    }


def _emitter_arguments(source: str | None, events: int | None, seed: int) -> list[str]:
    arguments = ["--format", "json", "--seed", str(seed)]
    if source is not None:
        is_folder = "://" not in source
        arguments += ["--source", str(Path(source).resolve()) if is_folder else source]
    if events is not None or source is None:
        arguments += ["--events", str(events or DEFAULT_EVENTS)]
    return arguments


COMMANDS = (demo,)
