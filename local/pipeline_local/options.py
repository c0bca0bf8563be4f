"""What several commands have in common."""

import click

from pipeline_local.installation import Installation, InstallationError

format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)


def must_run(installation: Installation) -> None:
    """Say what to do where a command needs the services.

    Raises:
        InstallationError: nothing runs.
    """
    if not installation.runs:
        raise InstallationError("nothing is running; start it with `pipeline up`")


def tell(line: str) -> None:
    """Say what goes on, on stderr: stdout is for what was asked."""
    click.echo(line, err=True)
