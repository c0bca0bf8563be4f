"""``docker compose run --rm cli COMMAND``: the commands that look into an installation of containers.

The same commands as ``pipeline``'s, run in a container beside the services, with the lake's volume and the ledger's
mounted. Their environment says where the services are; nothing here starts or stops anything.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from pipeline_local.cli import CommandGroup, main
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout
from pipeline_local.topology import Service, TopologyError

# What `docker compose` itself does (up, down, logs, …), or needs the runner's own state.
ELSEWHERE = {
    "up": "that is `docker compose up --wait`",
    "down": "that is `docker compose down`",
    "reset": "that is `docker compose --profile '*' down -v`",
    "status": "that is `docker compose ps`",
    "open": "the dashboard is http://localhost:DASHBOARD_PORT, which stands in .env (8095)",
    "logs": "that is `docker compose logs SERVICE`",
    "send": "that is `docker compose run --rm emitter`",
    "demo": "that is `docker compose up --wait`, then run emitter, cli analyse, cli answers, cli audit",
    "env": "the gateway is http://localhost:LOCALSTACK_PORT/_aws/execute-api/PIPELINE_ID/dev, and the header "
    "`x-api-key: GATEWAY_API_KEY`; these three stand in .env",
}


@dataclass(frozen=True)
class ContainerInstallation(Installation):
    """What ``docker compose up`` started. Every service is asked with one environment, that of this container."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "ContainerInstallation":
        """The installation that the variables of compose.yaml's service ``cli`` describe.

        Raises:
            TopologyError: it was not compose that started this.
        """
        if "PIPELINE_HOME" not in environment or "PIPELINE_ID" not in environment:
            raise TopologyError("this is the container's command; run it by `docker compose run --rm cli`")
        return cls(Layout(Path("/"), Path(environment["PIPELINE_HOME"])), environment)

    @property
    def runs(self) -> bool:
        """Taken for granted: a service that is not there is named by the command that misses it."""
        return True

    @property
    def status(self) -> None:
        """Not known here: `docker compose ps` shows it."""
        return None

    @property
    def variables(self) -> dict[str, str]:
        """This container's environment."""
        return dict(self.environment)

    def has(self, name: str) -> bool:
        """Whether this container is told where a service is."""
        return _address_variable(name) in self.environment

    def service(self, name: str) -> Service:
        """One service as this container reaches it.

        Raises:
            TopologyError: a command needs the address of a service that compose.yaml does not give to ``cli``.
        """
        variable = _address_variable(name)
        return Service(
            name, dict(self.environment), None, variable, (), is_job=False, address=self.environment.get(variable)
        )


def _address_variable(service: str) -> str:
    return f"{service.upper().replace('-', '_')}_ADDRESS"


class LookGroup(CommandGroup):
    """``pipeline``'s commands that only look; of the others it says by what they are done."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of ``pipeline``."""
        return [name for name in main.list_commands(ctx) if name not in ELSEWHERE]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but for the commands of the other runner."""
        if args and args[0] in ELSEWHERE:
            ctx.fail(f"{args[0]}: with containers {ELSEWHERE[args[0]]}")
        return super().resolve_command(ctx, args)


@click.group(cls=LookGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.pass_context
def look(context: click.Context) -> None:
    """Look into the pipeline that `docker compose up` started.

    \b
    docker compose run --rm cli analyse         turn what arrived into answers
    docker compose run --rm cli answers         print them
    docker compose run --rm cli audit           account for every record
    docker compose run --rm cli trigger --wait  the same analysis, by Airflow
    """
    context.obj = ContainerInstallation.of(os.environ)


if __name__ == "__main__":
    look(prog_name="cli")
