"""The ``pipeline`` command."""

import importlib
import os
import signal
import sys
import time
import webbrowser
from importlib.abc import MetaPathFinder
from typing import Any, Final

import click
from service_kit.inert import visible

from pipeline_local import logfiles, printing, tables
from pipeline_local.http_client import ServiceError
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from pipeline_local.locks import LockError
from pipeline_local.options import tell
from pipeline_local.toolchain import SetupError
from pipeline_local.topology import TopologyError

FOLLOW_POLL_S = 0.3
NOT_ALL_READY = 5
DASHBOARD = "dashboard"


_MODULES: Final = {
    "demo": "commands_demo",
    "send": "commands_events",
    "analyse": "commands_stages",
    "answers": "commands_data",
    "popular": "commands_stream",
    "audit": "commands_stages",
    "quarantine": "commands_data",
    "env": "commands_events",
    "keys": "commands_events",
    "consume": "commands_events",
    "query": "commands_data",
    "trigger": "commands_airflow",
}
"""Where a command is that brings libraries with it: they take a second to import, for that command alone."""


class _Told(click.ClickException):
    """One line, and the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


class CommandGroup(click.Group):
    """Imports a command when it is asked for, and turns our own errors into one clear message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click does it; an error of ours is one line."""
        try:
            return super().invoke(ctx)
        except (InstallationError, LockError, ServiceError, SetupError, TopologyError) as error:
            raise _Told(visible(str(error), keep="\n\t"), getattr(error, "exit_code", 1)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """In the order of a first session."""
        return [*self.commands, *_MODULES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """From this module or its own."""
        if cmd_name not in _MODULES:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"pipeline_local.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, "keys_command" if cmd_name == "keys" else cmd_name)
        return command


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.pass_context
def main(context: click.Context) -> None:
    """Run the Pinterest data pipeline on this machine and look into it.

    \b
    pipeline demo                  start everything, send posts, print answers and the audit, stop
    pipeline up                    start everything and leave it running
    pipeline send --events 3000    post events through the gateway
    pipeline analyse               turn what arrived into answers
    pipeline answers               print them
    pipeline audit                 account for every record
    pipeline down                  stop; state stays in the state folder
    """
    # As on Ctrl-C, what was begun is cleaned up on the way out. SIGHUP: the terminal is closed; nohup ignores it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    context.obj = Installation(Layout.of_checkout())


class _NotHere(MetaPathFinder):
    """Makes libraries look as if they were not installed."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def find_spec(self, fullname: str, *_: object) -> None:
        """Asked for each import before all others."""
        if fullname in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def in_own_process() -> None:
    """The command as people call it: without numpy and pandas, which Arrow imports where it finds them.

    That takes longer than most commands. None has an array or a frame of theirs; the commands' image holds neither.
    """
    sys.meta_path.insert(0, _NotHere("numpy", "pandas"))
    main()


@main.command()
@click.pass_obj
def up(installation: Installation) -> None:
    """Start every service and return when each is ready or needs help.

    The first start fetches what is missing, checked against hashes. A supervisor stays behind, restarts what
    dies, and ends with `pipeline down`. Where another `up` is at work, this one waits for it; where the services
    run already, it retries what failed at once. Exit code 5: some services are not ready; each is named with what
    to do, and the others run.
    """
    started = time.monotonic()
    outcome = installation.up(tell)
    seconds = time.monotonic() - started
    if outcome.not_ready:
        done = "started" if outcome.started else "already running"
        printing.say(f"{done}, but not all services are ready after {seconds:.1f} s; the others run:")
        printing.say("\n".join(outcome.not_ready))
    elif not outcome.started:
        printing.say("already running:")
        tables.print_status(printing.console(), installation)
    else:
        printing.say(f"ready after {seconds:.1f} s; `pipeline env` says where, `pipeline down` stops it")
    if installation.has(DASHBOARD):
        printing.say(f"look at it: {installation.service(DASHBOARD).url}")
    if outcome.not_ready:
        sys.exit(NOT_ALL_READY)


@main.command()
@click.pass_obj
def down(installation: Installation) -> None:
    """Stop every service in order. State stays; `pipeline up` resumes from it."""
    printing.say("stopped" if installation.down(tell) else "nothing was running")


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(installation: Installation, yes: bool) -> None:
    """Stop everything and delete all state: Kafka's log, objects, tables, ledger, logs. Downloads stay.

    A folder that no `pipeline up` made, or that holds other files, too, is not touched.
    """
    if not installation.layout.home.exists():
        printing.say("there is no state")
        return
    installation.check_is_ours()
    if not yes:
        click.confirm(f"Delete {installation.layout.home}?", abort=True)
    installation.reset(tell)
    printing.say("deleted")


@main.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def status(installation: Installation, form: str) -> None:
    """Show each service: state, process, port, restarts, memory. Exit code 1 when not all are ready, or
    something keeps them from being started, such as a full disk.

    Below the table, a line for each service that is not as it should be: what it said last, and what to do.
    """
    if form == "json":
        printing.say_json(tables.status_document(installation), indent=2)
    else:
        tables.print_status(printing.console(), installation)
    current = installation.status
    well = current is not None and installation.runs and current.reason is None and tables.all_ready(current)
    sys.exit(0 if well else 1)


@main.command("open")
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@click.pass_obj
def open_dashboard(installation: Installation, only_print: bool) -> None:
    """Print the dashboard's address, and open it in a browser.

    A browser is opened only from a terminal on a desktop. Exit code 1: the dashboard is left out (PIPELINE_WITHOUT),
    or nothing runs.
    """
    if not installation.has(DASHBOARD):
        raise InstallationError("the dashboard is left out (PIPELINE_WITHOUT)")
    if not installation.runs:
        raise InstallationError(installation.why_not_running)
    address = installation.service(DASHBOARD).url
    printing.say(address)
    if not only_print and _on_a_desktop():
        webbrowser.open(address)


def _on_a_desktop() -> bool:
    """Whether somebody looks at this terminal who has a display for a browser."""
    return sys.stdout.isatty() and bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@main.command()
@click.argument("service", required=False)
@click.option("--lines", type=click.IntRange(1), default=20, show_default=True, help="How many of the last lines.")
@click.option("--follow", "-f", is_flag=True, help="Print new lines, too, until Ctrl-C.")
@click.pass_obj
def logs(installation: Installation, service: str | None, lines: int, follow: bool) -> None:
    """Print the last lines of one SERVICE's log (or of every service, or of `supervisor`)."""
    known = [one.name for one in installation.topology.long_running] + ["supervisor"]
    if service is not None and service not in known:
        raise click.ClickException(f"there is no service {service!r}; there are: {', '.join(known)}")
    if follow and service is None:
        raise click.UsageError("--follow needs a SERVICE")
    if service is None:
        for name in known:
            printing.say(f"--- {name}\n{installation.log_tail(name, lines)}")
        return
    file = installation.layout.logs / f"{service}.log"
    if not file.exists():
        raise click.ClickException(f"{service} has no log yet; `pipeline up` starts it")
    printing.say(installation.log_tail(service, lines))
    if follow:
        for piece in logfiles.follow(file):
            printing.say(piece, nl=False)
            time.sleep(FOLLOW_POLL_S)
