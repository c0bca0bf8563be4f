"""The ``emitter`` command: settings and options → source, transport, ledger → run → summary."""

import sys
from contextlib import ExitStack

import click
from prometheus_client import CollectorRegistry
from service_kit.inert import visible
from service_kit.logs import configure_logging
from service_kit.ops import Ops, OpsServer
from service_kit.shutdown import Shutdown

from emitter.errors import EmitterError, SettingError
from emitter.metrics import Metrics
from emitter.progress import ProgressBar, ProgressLines
from emitter.report import as_json, as_text
from emitter.rows import PathName
from emitter.run import Options, send
from emitter.settings import EmitterSettings
from emitter.sources.choose import open_source
from emitter.watchers import Spectator

GENERATED_EVENTS = 10_000
_USAGE = 2
_PATHS: dict[str, tuple[PathName, ...]] = {"batch": ("batch",), "stream": ("stream",), "both": ("batch", "stream")}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--source",
    envvar="EMITTER_SOURCE",
    metavar="PATH|URL",
    help="A folder with pin.jsonl, geo.jsonl, user.jsonl, or a database such as mysql+pymysql://user@host/db (with a"
    " password better given as EMITTER_SOURCE). Default: the built-in generator.",
)
@click.option(
    "--events",
    type=click.IntRange(min=1),
    help=f"Stop after so many events of all kinds. Default: all there are; {GENERATED_EVENTS:,} from the generator.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the generator.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Events a second. Default: as fast as accepted."
)
@click.option("--path", type=click.Choice(list(_PATHS)), default="batch", show_default=True, help="Which way they go.")
@click.option("--batch-size", type=click.IntRange(1, 100_000), help="Records per request. Default: EMITTER_BATCH_SIZE.")
@click.option(
    "--lanes",
    type=click.IntRange(1, 64),
    help="Requests at a time per path, at most; a --rate takes as few as it needs. Default: EMITTER_LANES.",
)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Of the summary.")
@click.option("--fresh", is_flag=True, help="Start over, even if the same command was interrupted before.")
def main(  # noqa: PLR0917 (click passes them by name)
    source: str | None,
    events: int | None,
    seed: int,
    rate: float | None,
    path: str,
    batch_size: int | None,
    lanes: int | None,
    format_: str,
    fresh: bool,
) -> None:
    """Send pin, geo and user events into the pipeline, and keep a ledger of what was acknowledged.

    \b
    without options                     10,000 made-up events
    --source DIR                        all rows of DIR/{pin,geo,user}.jsonl
    --events 500 --rate 20              500 events, 20 a second
    EMITTER_SOURCE=mysql+pymysql://…    in the environment: the original's three tables

    An interrupted run resumes when the same command is given again: what was acknowledged is not sent a
    second time. A run that was finished is sent again as a whole.

    \b
    Exit code 0  every row is acknowledged
              1  some rows were rejected (bad rows) or refused (by the other side); the rest is acknowledged
              2  nothing can be sent: wrong usage, no such source, ledger in use or damaged
              3  not finished: interrupted, disk full, table changed, or nothing accepted for EMITTER_DEADLINE_S seconds
    """
    given = {"batch_size": batch_size, "lanes": lanes}
    settings = EmitterSettings.load().model_copy(update={key: value for key, value in given.items() if value})
    configure_logging("emitter", settings.log_level, sys.stderr)  # stdout belongs to the summary
    shutdown = Shutdown()
    shutdown.install()
    try:
        opened = open_source(source, seed)
        if source is None and events is None:
            events = GENERATED_EVENTS
        with ExitStack() as stack:
            stack.callback(opened.close)
            spectators = _spectators(stack, settings, paths=len(_PATHS[path]))
            options = Options(_PATHS[path], events, rate, fresh)
            summary = send(settings, opened, options, spectators=spectators, shutdown=shutdown)
    except EmitterError as error:
        click.echo(visible(f"emitter: {error}", keep="\n"), err=True)
        sys.exit(_USAGE)
    click.echo(as_json(summary) if format_ == "json" else visible(as_text(summary), keep="\n"))
    sys.exit(summary.exit_code)


def _spectators(stack: ExitStack, settings: EmitterSettings, paths: int) -> list[Spectator]:
    """Progress on stderr; and the ops routes, where EMITTER_PORT asks for them (a job needs none)."""
    spectators: list[Spectator] = []
    if sys.stderr.isatty():
        spectators.append(stack.enter_context(ProgressBar(paths)))
    else:
        spectators.append(ProgressLines(lambda line: click.echo(visible(line), err=True)))
    if settings.port is not None:
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        ops = Ops("emitter", {"gateway": metrics.accepting}, registry)
        try:
            stack.enter_context(OpsServer(ops, settings.host, settings.port))
        except OSError as error:
            address = f"{settings.host}:{settings.port}"
            raise SettingError(f"EMITTER_HOST, EMITTER_PORT: cannot listen on {address}: {error.strerror}") from error
        spectators.append(metrics)
    return spectators
