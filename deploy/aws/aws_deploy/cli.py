"""The ``aws_deploy`` command."""

import sys
from typing import Any

import click
from pipeline_contracts.kafka_topics import topic_specs
from pydantic import SecretStr

from aws_deploy.apply import apply_stacks, read_outputs
from aws_deploy.calls import DONE
from aws_deploy.connection import airflow_connection, store_connection
from aws_deploy.destroy import Retained, delete_leftovers, destroy_stacks
from aws_deploy.doctor import examine
from aws_deploy.explain import readable_errors
from aws_deploy.leftovers import find, places
from aws_deploy.mirror.__main__ import main as run_mirror
from aws_deploy.options import Target, form_option, stacks_option, target_options, wanted_options
from aws_deploy.plan import plan_stacks
from aws_deploy.printing import Printer, console, show_outputs, show_plan, show_rows
from aws_deploy.stacks import stack_name
from aws_deploy.topics import KafkaTopics, ensure_topics
from aws_deploy.wanted import ALL, StackKind

_TARGET = ("pipeline_id", "region", "profile", "endpoint_url", "as_on_aws")


@click.group()
def main() -> None:
    """Deploy the pipeline's stacks into AWS, or into LocalStack where AWS_ENDPOINT_URL is set."""


@main.command()
@target_options
@wanted_options
@stacks_option
@form_option
def plan(*, stacks: tuple[StackKind, ...], form: str, **given: Any) -> None:
    """Show what apply would change, and what is paid while nobody uses it. Changes nothing."""
    with readable_errors():
        target = _target(given)
        wanted = target.wanted(**given)
        kinds = target.asked_kinds(stacks, wanted, given)
        found = plan_stacks(target.deployer(), wanted, kinds, target.surroundings(**given))
    show_plan(found, form)


@main.command()
@target_options
@wanted_options
@stacks_option
@click.option("--kafka", envvar="KAFKA_BOOTSTRAP_SERVERS", help="Make the topics there too; unset: leave them.")
def apply(*, stacks: tuple[StackKind, ...], kafka: str | None, **given: Any) -> None:
    """Create or change all stacks, in order. Safe to run again; stops at the first failure."""
    out = console()
    with readable_errors():
        target = _target(given)
        wanted = target.wanted(**given)
        outputs = apply_stacks(
            target.deployer(Printer(out)),
            wanted,
            kinds=target.asked_kinds(stacks, wanted, given),
            surroundings=target.surroundings(tell=out.print, **given),
        )
        if kafka:
            for line in ensure_topics(KafkaTopics(kafka), topic_specs(wanted.names)) or ["topics: no changes"]:
                out.print(line)
    show_outputs(outputs, "table")


@main.command()
@target_options
@form_option
def status(*, form: str, **given: Any) -> None:
    """Show each stack: its state, since when, and why if it failed. Exit code 3 unless all are complete."""
    with readable_errors():
        target = _target(given)
        deployer = target.deployer()
        rows = []
        for kind in target.kinds(()):
            name = stack_name(target.names, kind)
            state = deployer.status(name, target.names.pipeline_id)
            there = deployer.find(name) if state else None
            since = (there.get("LastUpdatedTime") or there["CreationTime"]).isoformat(" ", "seconds") if there else ""
            rows.append((name, state or "not there", since, there.get("StackStatusReason", "") if there else ""))
    show_rows(("stack", "state", "since", "reason"), rows, form)
    if not all(state in DONE for _, state, *_ in rows):
        sys.exit(3)


@main.command()
@target_options
@form_option
def outputs(*, form: str, **given: Any) -> None:
    """Show what the stacks give: bucket, streams, API, URL."""
    with readable_errors():
        target = _target(given)
        found = read_outputs(target.deployer(), target.names, target.kinds(()))
    show_outputs(found, form)


@main.command()
@target_options
@stacks_option
@click.option("--unprotect", is_flag=True, help="Take down protected stacks too.")
@click.option("--delete-data", is_flag=True, help="Delete buckets, streams and brokers with all that is in them, too.")
@click.option("--yes", "confirmed", help="The pipeline id, instead of being asked for it.")
def destroy(
    *, stacks: tuple[StackKind, ...], unprotect: bool, delete_data: bool, confirmed: str | None, **given: Any
) -> None:
    """Delete the stacks, the last first, and say what stays."""
    out = console()
    with readable_errors():
        target = _target(given)
        project = target.names.pipeline_id
        if (confirmed or click.prompt(f"Type the pipeline id to destroy it ({project})")) != project:
            raise click.ClickException("That is not its id; nothing was deleted")
        kinds = stacks or ALL
        done = destroy_stacks(
            target.deployer(Printer(out)),
            target.names,
            kinds,
            brokers=target.brokers(),
            delete_data=delete_data,
            unprotect=unprotect,
        )
        # What an earlier run has left is known to no stack any more.
        looked = places(target.names, kinds, target.clients.target)
        left = find(target.clients, looked)
        ours = [
            Retained(stack_name(target.names, item.place.stack), item.place.kind, item.physical_id)
            for item in left
            if item.ours(project)
        ]
        for item in dict.fromkeys([*done.retained, *ours]):
            out.print(f"{item.stack}: retained {item.kind} {item.physical_id} ({item.note})")
        for stack in done.standing:
            out.print(f"{stack.stack}: stays, {stack.usd_per_hour:.2f} USD an hour")
        if done.standing:
            out.print("These stacks cannot go while the brokers are there; --delete-data deletes brokers and stacks")
        if delete_data:
            for line in delete_leftovers(target.clients, left, project):
                out.print(line)
        out.print(f"looked for {', '.join(map(str, looked))}")


@main.command()
@target_options
@wanted_options
@form_option
@click.option("--databricks-host", envvar="DATABRICKS_HOST", help="Is asked whether it answers.")
def doctor(*, form: str, databricks_host: str | None, **given: Any) -> None:
    """Look at credentials, settings, zones, quotas, names, images. Changes nothing. Exit code 1 if apply would fail."""
    with readable_errors():
        target = _target(given)
        found = list(examine(target.account(**given), target.wanted(**given), databricks_host))
    show_rows(("look", "state", "finding"), [(item.name, item.state, item.text) for item in found], form)
    if any(item.state == "failed" for item in found):
        sys.exit(1)


@main.command()
@target_options
@click.option("--host", envvar="DATABRICKS_HOST", required=True)
@click.option("--client-id", envvar="DATABRICKS_CLIENT_ID", help="Of a service principal.")
@click.option("--client-secret", envvar="DATABRICKS_CLIENT_SECRET", help="Use the variable.")
@click.option("--token", envvar="DATABRICKS_TOKEN", help="Instead of a service principal; use the variable.")
def connection(*, host: str, client_id: str | None, client_secret: str | None, token: str | None, **given: Any) -> None:
    """Put Airflow's connection to Databricks into Secrets Manager (after stack mwaa)."""
    with readable_errors():
        target = _target(given)
        secret, other = (SecretStr(text) if text else None for text in (client_secret, token))
        name = store_connection(target.clients, target.names, airflow_connection(host, client_id, secret, other))
    click.echo(f"{name}: stored")


@main.command()
def mirror() -> None:
    """Keep LocalStack and Kafka deployed until stopped (settings: see the README)."""
    sys.exit(run_mirror())


def _target(given: dict[str, Any]) -> Target:
    return Target(**{name: given.pop(name) for name in _TARGET})
