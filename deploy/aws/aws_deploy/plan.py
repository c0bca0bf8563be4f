"""What ``apply`` would do, without doing it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from aws_deploy.calls import StackCalls
from aws_deploy.costs import Idle, idle_costs
from aws_deploy.deployed import NO_OUTPUTS, NOTHING_MADE, Deployment
from aws_deploy.deployer import must_be_made_anew, stop_if_blocked
from aws_deploy.own_names import Service
from aws_deploy.resolve import resolve
from aws_deploy.stacks import build, check_asked, stack_name
from aws_deploy.surroundings import Surroundings
from aws_deploy.wanted import ALL, NEEDS, Outputs, StackKind, Wanted
from aws_deploy.watcher import Change

_IMAGE = "(not known yet)@sha256:" + "0" * 64
# Stand in for what stacks give that are not there yet.
_LATER: dict[StackKind, Outputs] = {
    "data": {},
    "kafka": {"BootstrapServers": "later:9098"},
    "proxy": {"ProxyUrl": "http://later"},
}


@dataclass(frozen=True)
class Planned:
    """One stack: what would change, and what it costs while idle once that is done."""

    kind: StackKind
    name: str
    status: str | None
    """None where there is no such stack yet."""
    changes: Sequence[Change]
    """None of a stack that CloudFormation is changing now, since it cannot be asked before it has ended."""
    idle: Sequence[Idle]
    made_anew: bool = False
    """The whole stack is deleted and recreated."""


def plan_stacks(
    calls: StackCalls, wanted: Wanted, kinds: Collection[StackKind], surroundings: Surroundings
) -> list[Planned]:
    """Ask CloudFormation for the changes of stacks that are there; list the resources of the others.

    Leaves nothing behind: change sets are deleted again, and no stack is created.

    Raises:
        SettingError: a parameter has a value that the template does not allow.
        ForeignStackError, ForeignResourceError: a name is taken.
        StackBlockedError: a stack is in a state in which apply would not touch it.
    """
    outputs: dict[StackKind, Outputs] = {}
    check_asked(wanted, kinds)
    deployment = Deployment.look(calls, wanted)
    deployment.check_stage(wanted, kinds)
    found = []
    for kind in ALL:
        name = stack_name(wanted.names, kind)
        status = calls.status(name, wanted.names.pipeline_id)
        there = status not in NOTHING_MADE
        if kind in kinds:
            if status:
                stop_if_blocked(name, status)
            has = deployment.of(kind).parameters
            asked_for = _guessed(deployment.filled_in(kind, wanted), has)
            stack = deployment.with_its_tags(build(kind, asked_for, {**_LATER, **outputs}, has), kind)
            made = resolve(json.loads(stack.body), stack.parameters)
            changes, anew = [], False
            if not there:
                surroundings.has_leftovers(kind, wanted)
                changes = [Change("Add", resource, item["Type"]) for resource, item in made.items()]
            elif not status_in_progress(status) and NEEDS[kind] <= set(outputs):
                asked = calls.change_set(stack, "UPDATE")
                changes = asked[1] if asked else []
                anew = must_be_made_anew(changes)
                if asked:
                    calls.client.delete_change_set(StackName=name, ChangeSetName=asked[0])
            found.append(Planned(kind, name, status if there else None, changes, idle_costs(made), anew))
        if status not in NO_OUTPUTS:
            # A stack that is being made tells nothing yet.
            outputs[kind] = {**_LATER.get(kind, {}), **surroundings.after(kind, calls.outputs(name))}
    return found


def status_in_progress(status: str | None) -> bool:
    """Whether CloudFormation is at work on it now, so that no change set can be made."""
    return bool(status and status.endswith("_IN_PROGRESS"))


def _guessed(wanted: Wanted, has: Mapping[str, str]) -> Wanted:
    """Images, plug-in and Airflow's files of a stack that has none yet, where nobody has given any."""
    images = {} if "Image" in has else dict.fromkeys(get_args(Service), _IMAGE)
    return replace(
        wanted,
        images={**images, **wanted.images},
        plugin_sha256=wanted.plugin_sha256 or ("" if "PluginSha256" in has else "0" * 64),
        startup_version="" if "StartupVersion" in has else "later",
    )
