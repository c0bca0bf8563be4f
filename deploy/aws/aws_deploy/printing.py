"""What a person at a terminal sees."""

import json
from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

from aws_deploy.costs import HOURS_PER_MONTH
from aws_deploy.plan import Planned, status_in_progress
from aws_deploy.wanted import Outputs, StackKind
from aws_deploy.watcher import Change, Progress, Watcher

Form = str


def console() -> Console:
    """Lines are not wrapped, so that they can be searched and copied."""
    return Console(highlight=False, soft_wrap=True)


_STACK_ANEW = "deleted and recreated, since two connectors cannot share a name; their offsets stay in Kafka"


class Printer(Watcher):
    """Tells a person at a terminal what happens, one line each."""

    def __init__(self, to: Console) -> None:
        self._console = to

    def changes(self, stack: str, changes: list[Change]) -> None:
        """One line per change."""
        if not changes:
            self._console.print(f"{stack}: no changes")
        for change in changes:
            self._console.print(f"{stack}: {change.action.lower()} {change.resource} ({change.kind}){_anew(change)}")

    def rebuilding(self, stack: str) -> None:
        """One line."""
        self._console.print(f"{stack}: LocalStack cannot change it in place; it is recreated")

    def restarting(self, stack: str) -> None:
        """One line."""
        self._console.print(f"{stack}: its first creation failed and was undone; it is recreated")

    def making_anew(self, stack: str) -> None:
        """One line."""
        self._console.print(f"{stack}: {_STACK_ANEW}")

    def adopted(self, stack: str, difference: str) -> None:
        """One line per difference."""
        self._console.print(f"{stack}: imported as it is: {difference}")

    def progress(self, stack: str, event: Progress) -> None:
        """One line per event."""
        self._console.print(f"{stack}: {event.resource} {event.status} {event.reason}".rstrip())


def show_outputs(outputs: Mapping[StackKind, Outputs], form: Form) -> None:
    """A table, or JSON."""
    if form == "json":
        click.echo(json.dumps(outputs, indent=2))
        return
    table = Table("stack", "output")
    table.add_column("value", overflow="fold")
    for stack, values in outputs.items():
        for key, value in values.items():
            table.add_row(stack, key, value)
    console().print(table)


def show_rows(columns: Sequence[str], rows: Sequence[Sequence[str]], form: Form) -> None:
    """A table, or JSON objects."""
    if form == "json":
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def show_plan(planned: Sequence[Planned], form: Form) -> None:
    """Changes, then what is paid while nobody uses it."""
    changes = [
        (stack.name, change.action.lower(), change.resource, change.kind, _anew(change).strip(" ;"))
        for stack in planned
        for change in stack.changes
    ]
    costs = [
        (stack.name, idle.resource, idle.kind, f"{idle.usd_per_hour:.3f}", f"{idle.usd_per_hour * HOURS_PER_MONTH:.0f}")
        for stack in planned
        for idle in stack.idle
        if idle.usd_per_hour >= 0.001
    ]
    busy = [stack for stack in planned if status_in_progress(stack.status)]
    unchanged = [stack.name for stack in planned if not stack.changes and stack not in busy]
    total = sum(idle.usd_per_hour for stack in planned for idle in stack.idle)
    change_columns = ("stack", "change", "resource", "type", "note")
    cost_columns = ("stack", "resource", "type", "USD/h", "USD/month")
    if form == "json":
        document = {
            "changes": [dict(zip(change_columns, row, strict=True)) for row in changes],
            "made_anew": [stack.name for stack in planned if stack.made_anew],
            "in_progress": [stack.name for stack in busy],
            "unchanged": unchanged,
            "idle": [dict(zip(cost_columns, row, strict=True)) for row in costs],
            "idle_usd_per_hour": round(total, 3),
        }
        click.echo(json.dumps(document, indent=2))
        return
    show_rows(change_columns, changes, form)
    for stack in planned:
        if stack.made_anew:
            console().print(f"{stack.name}: {_STACK_ANEW}")
    for stack in busy:
        console().print(f"{stack.name}: {stack.status}; plan again once that has ended")
    if unchanged:
        console().print(f"no changes: {', '.join(unchanged)}")
    console().print("\nPaid while nobody uses it (list prices as an order of magnitude; use comes on top):")
    show_rows(cost_columns, costs, form)
    console().print(f"together about {total:.2f} USD an hour, {total * HOURS_PER_MONTH:.0f} USD a month")


def _anew(change: Change) -> str:
    return {"True": "; recreated", "Conditional": "; perhaps recreated"}.get(change.replacement, "")
