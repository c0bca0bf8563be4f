"""The ``aws_deploy`` command."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click
from botocore.exceptions import BotoCoreError, ClientError
from pipeline_contracts.kafka_topics import topic_specs
from pipeline_contracts.names import InvalidPipelineIdError, Names
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from aws_deploy.apply import apply_stacks, read_outputs
from aws_deploy.clients import Clients
from aws_deploy.deployer import Change, Deployer, Progress, Watcher
from aws_deploy.errors import DeployError
from aws_deploy.mirror.__main__ import main as run_mirror
from aws_deploy.stacks import Outputs, StackKind, Wanted
from aws_deploy.topics import KafkaTopics, ensure_topics


class _Printer(Watcher):
    """Tells a person at a terminal what happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def changes(self, stack: str, changes: list[Change]) -> None:
        """One line per change."""
        if not changes:
            self._console.print(f"{stack}: no changes")
        for change in changes:
            self._console.print(f"{stack}: {change.action.lower()} {change.resource} ({change.kind})")

    def rebuilding(self, stack: str) -> None:
        """One line."""
        self._console.print(f"{stack}: LocalStack cannot change it in place; it is made anew")

    def progress(self, stack: str, event: Progress) -> None:
        """One line per event."""
        self._console.print(f"{stack}: {event.resource} {event.status} {event.reason}".rstrip())


@click.group()
def main() -> None:
    """Deploy the pipeline's stacks into AWS, or into LocalStack where AWS_ENDPOINT_URL is set."""


_pipeline_id = click.option("--pipeline-id", envvar="PIPELINE_ID", default="pinterest", show_default=True)
_region = click.option("--region", envvar="AWS_REGION", default="us-east-1", show_default=True)
_profile = click.option("--profile", envvar="AWS_PROFILE", help="Profile of the AWS configuration.")
_endpoint = click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="LocalStack's address; unset: AWS.")


@main.command()
@_pipeline_id
@_region
@_profile
@_endpoint
@click.option("--proxy-url", envvar="PROXY_URL", required=True, help="The proxy, as the gateway reaches it.")
@click.option("--api-key", envvar="GATEWAY_API_KEY", required=True, help="20 to 128 of A-Za-z0-9_-; use the variable.")
@click.option("--kafka", envvar="KAFKA_BOOTSTRAP_SERVERS", help="Make the topics there too; unset: leave them.")
@click.option("--env", "environment", default="dev", show_default=True, help="Tag of every resource.")
@click.option("--owner", default="unknown", show_default=True, help="Tag of every resource.")
def apply(
    *,
    pipeline_id: str,
    region: str,
    profile: str | None,
    endpoint_url: str | None,
    proxy_url: str,
    api_key: str,
    kafka: str | None,
    environment: str,
    owner: str,
) -> None:
    """Create or change all stacks, in order. Safe to run again; stops at the first failure."""
    console = Console(highlight=False, soft_wrap=True)
    with _errors():
        clients = _clients(endpoint_url, region, profile)
        names = Names(pipeline_id)
        wanted = Wanted(names, clients.target, clients.endpoint_url, proxy_url, SecretStr(api_key), environment, owner)
        outputs = apply_stacks(_deployer(clients, _Printer(console)), wanted)
        if kafka:
            for line in ensure_topics(KafkaTopics(kafka), topic_specs(names)) or ["topics: no changes"]:
                console.print(line)
    console.print(_table(outputs))


@main.command()
@_pipeline_id
@_region
@_profile
@_endpoint
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def outputs(*, pipeline_id: str, region: str, profile: str | None, endpoint_url: str | None, form: str) -> None:
    """Show what the stacks give: bucket, streams, API, URL."""
    with _errors():
        clients = _clients(endpoint_url, region, profile)
        found = read_outputs(_deployer(clients, Watcher()), Names(pipeline_id))
    if form == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        Console(highlight=False, soft_wrap=True).print(_table(found))


@main.command()
def mirror() -> None:
    """Keep LocalStack and Kafka deployed until stopped (settings: see the README)."""
    sys.exit(run_mirror())


@contextmanager
def _errors() -> Iterator[None]:
    """Turn errors that a person can act on into one line and exit code 1."""
    try:
        yield
    except (DeployError, InvalidPipelineIdError, BotoCoreError, ClientError) as error:
        raise click.ClickException(str(error)) from error


def _clients(endpoint_url: str | None, region: str, profile: str | None) -> Clients:
    return Clients.on_localstack(endpoint_url, region) if endpoint_url else Clients.on_aws(region, profile)


def _deployer(clients: Clients, watcher: Watcher) -> Deployer:
    poll_s = 0.2 if clients.target == "localstack" else 2.0
    return Deployer(clients.cloudformation, clients.target, watcher=watcher, poll_s=poll_s)


def _table(outputs: Mapping[StackKind, Outputs]) -> Table:
    table = Table("stack", "output")
    table.add_column("value", overflow="fold")
    for stack, values in outputs.items():
        for key, value in values.items():
            table.add_row(stack, key, value)
    return table
