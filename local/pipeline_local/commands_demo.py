"""``pipeline demo``: both paths once, from nothing to answers, popular profiles and the proof that none is missing."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from pipeline_contracts.audits import PATHS
from service_kit.inert import json_text

from pipeline_local import answers as stored_answers
from pipeline_local import commands_data, commands_events, commands_stages, commands_stream, printing, tables
from pipeline_local.audit.collect import audit_paths
from pipeline_local.audit.report import Audit
from pipeline_local.flow import await_archived, await_streamed
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.lake import Lake
from pipeline_local.needs import ARCHIVE, GATEWAY, STREAM, watching
from pipeline_local.options import tell
from pipeline_local.topology import WITHOUT

DEFAULT_EVENTS = 10_000
STREAM_DEADLINE_S = 600.0
SOURCE = "EMITTER_SOURCE"


@dataclass
class Stopwatch:
    """Seconds of each stage, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage and say that it begins."""
        printing.say(f"== {name}", err=True)
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)


@click.command()
@click.option(
    "--source",
    envvar=SOURCE,
    help="A folder with pin.jsonl, geo.jsonl and user.jsonl, or a database URL (with a password better given as"
    f" {SOURCE}). Default: made-up posts.",
)
@click.option(
    "--events",
    type=click.IntRange(1),
    help=f"How many events of all kinds. Default: all of SOURCE, or {DEFAULT_EVENTS:,}.",
)
@click.option("--seed", default=1, show_default=True, help="Of the made-up posts.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second. Default: as fast as accepted, where latencies show how long the queue was.",
)
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
    rate: float | None,
    report: Path,
    keep: bool,
) -> None:
    """Start everything on an empty state, send posts down both paths, show answers and account for all, stop.

    It has a state folder of its own, `demo` beside the other, which it empties first; what `pipeline up` keeps is not
    touched. The report holds the same as the screen: events sent, audit, answers, stream (tables, popular profiles,
    latencies), seconds of each stage.
    """
    if installation.runs:
        raise InstallationError("the pipeline is running; `pipeline down` first (its state stays), then the demo")
    short_lived = {
        "ANALYSER_SHORT_LIVED": "true",
        # With a rate, latencies are what somebody wants to see: those of a reader that is warm.
        "STREAM_READER_SHORT_LIVED": "true" if rate is None else "false",
    }
    # Not as an argument, which every user of this machine could read.
    sent = {} if source is None else {SOURCE: source}
    own = Installation(
        replace(installation.layout, home=installation.layout.home.parent / "demo"),
        {**short_lived, WITHOUT: "airflow", **installation.environment, **sent},
    )
    empty(own)
    watch = Stopwatch()
    started = time.monotonic()
    try:
        document = _run(own, emitter_arguments(source, events, seed, rate), watch)
    except BaseException:
        if not keep:
            own.down(tell)
        raise
    if keep:
        printing.say(f"still running; to look around: export PIPELINE_HOME={own.layout.home}", err=True)
        if own.has("dashboard"):
            printing.say(f"look at it: {own.service('dashboard').url}", err=True)
    else:
        with watch.stage("stop"):
            own.down(tell)
    watch.seconds["total"] = round(time.monotonic() - started, 2)
    document["seconds"] = watch.seconds
    report.write_text(json_text(document, indent=2) + "\n", encoding="utf-8")
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in watch.seconds.items())
    printing.say(f"{stages}\nreport: {report}")
    if not keep:
        printing.say("to look at it in a browser: `pipeline demo --keep`, which leaves it running", err=True)
    sys.exit(0 if document["audit"]["ok"] else 1)


def empty(own: Installation) -> None:
    """Stop what runs in the demo's folder, delete all that is in it, and mark the folder as a demo's.

    Raises:
        InstallationError: it holds something and has no such mark.
    """
    home = own.layout.home
    if home.exists():
        if any(home.iterdir()) and not own.layout.demo_mark.exists():
            raise InstallationError(
                f"the demo would empty {home}, which no demo made: set PIPELINE_HOME to a folder elsewhere, "
                f"or delete it by `PIPELINE_HOME={home} pipeline reset`"
            )
        own.reset(tell)
    home.mkdir(parents=True)
    own.layout.demo_mark.touch()


def _run(installation: Installation, arguments: list[str], watch: Stopwatch) -> dict[str, Any]:
    with watch.stage("start"):
        if not_ready := installation.up(tell).not_ready:
            raise InstallationError("\n".join(["not all services are ready:", *not_ready]))
    with watch.stage("send"):
        sent = send_all(installation, arguments)
    with watch.stage("archive"):
        await_archived(installation, commands_stages.ARCHIVE_DEADLINE_S, on_wait=watching(installation, *ARCHIVE))
    with watch.stage("analyse"):
        commands_data.analyser(installation).run(
            installation.names.job("batch"),
            {},
            lambda task, seconds: printing.say(f"{task}: {seconds:.1f} s", err=True),
            only=commands_stages.ANALYSIS,
        )
    with watch.stage("stream"):
        await_streamed(installation, STREAM_DEADLINE_S, on_wait=watching(installation, *STREAM))
    reader = commands_stream.reader(installation)
    popular, latencies = reader.popular(commands_stream.POPULAR_LIMIT, {}), reader.latencies()
    with watch.stage("audit"):
        started = time.monotonic()
        found = audit_paths(installation)
        commands_stages.keep_audit(installation, found, PATHS, time.monotonic() - started)
    lake = Lake(installation.layout.lake)
    with lake.named_damage():
        answers = stored_answers.stored(lake)
    stream = _stream(installation, found, popular, latencies)
    stored_answers.show(answers, "table")
    console = printing.console()
    commands_stream.show_popular(console, popular)
    tables.print_stream_tables(console, stream["tables"])
    tables.print_latencies(console, {"table": stream["latency_ms"], "popularity": stream["popularity_latency_ms"]})
    tables.print_audit(console, found)
    return {
        "events": {"sent": sent},
        "audit": found.as_document(),
        "answers": answers.tables,
        "stream": stream,
        "seconds": {},
    }


def send_all(installation: Installation, arguments: list[str]) -> dict[str, int]:
    """Run the emitter to its end; returns how many events of each kind it sent.

    Raises:
        InstallationError: it did not send all of them.
    """
    with commands_events.start_emitter(installation, arguments, stdout=subprocess.PIPE) as emitter:
        try:
            summary = commands_events.await_emitter(installation, emitter, watching(installation, *GATEWAY["batch"]))
        except (KeyboardInterrupt, SystemExit, InstallationError):
            commands_events.end_emitter(emitter)
            raise
    # Python's own exit code for a defect is 1, too; the summary comes last.
    if emitter.returncode not in {0, 1} or not summary:
        raise InstallationError(f"the emitter failed with exit code {emitter.returncode}; its lines above say why")
    sent: dict[str, int] = json.loads(summary)["sent"]
    return sent


def _stream(
    installation: Installation, found: Audit, popular: dict[str, Any], latencies: dict[str, Any]
) -> dict[str, Any]:
    """The stream's part of the report. Latencies are in milliseconds, None where nothing was measured."""
    own = Audit([row for row in found.rows if row.path == "stream"])
    counts = {}
    for name, kind in installation.names.streams.items():
        rows = [row for row in own.rows if row.name == name]
        current = sum(row.current for row in rows)
        counts[kind] = {"rows": current + sum(row.superseded + row.repeated for row in rows), "current": current}
    return {
        "tables": counts,
        "popular": popular["profiles"],
        "audit": own.as_document(),
        "latency_ms": _percentiles(latencies["table"]),
        "popularity_latency_ms": _percentiles(latencies["popularity"]),
    }


def _percentiles(measured: dict[str, Any]) -> dict[str, float | None]:
    return {"p50": measured["p50_ms"], "p95": measured["p95_ms"]}


def emitter_arguments(source: str | None, events: int | None, seed: int, rate: float | None) -> list[str]:
    """What the emitter is asked to do; the source itself goes to it by its variable."""
    arguments = ["--path", "both", "--format", "json", "--seed", str(seed)]
    if rate is not None:
        arguments += ["--rate", str(rate)]
    if events is not None or source is None:
        arguments += ["--events", str(events or DEFAULT_EVENTS)]
    return arguments
