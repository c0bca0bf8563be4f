"""Brings one stack to what its template says: change set, show, execute, wait.

On LocalStack two things differ, because it says "done" where nothing was done. A changed stack is deleted and made
anew (most of its resource types ignore updates); resources with ``DeletionPolicy: Retain`` outlive that. And each
resource is looked at afterwards, because a type that it does not know "succeeds" too.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError
from service_kit.clock import Clock, SystemClock

from aws_deploy.clients import Target
from aws_deploy.errors import (
    DeployTimeoutError,
    ForeignStackError,
    StackBlockedError,
    StackFailedError,
    UnsupportedResourceError,
)
from aws_deploy.stacks import Outputs, Stack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

_DEAD = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_FAILED"}
_DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_NOT_THE_CAUSE = "Resource creation cancelled"


@dataclass(frozen=True)
class Change:
    """One line of a change set."""

    action: str
    resource: str
    kind: str


@dataclass(frozen=True)
class Progress:
    """One event of a running stack."""

    resource: str
    status: str
    reason: str


class Watcher:
    """Is told what happens; this one says nothing."""

    def changes(self, stack: str, changes: list[Change]) -> None:
        """A change set is about to be executed; empty when there is nothing to change."""

    def rebuilding(self, stack: str) -> None:
        """The stack is about to be deleted and made anew (LocalStack only)."""

    def progress(self, stack: str, event: Progress) -> None:
        """A resource has moved on."""


@dataclass(frozen=True)
class Deployer:
    """Applies stacks through the client it is given. ``deadline_s`` bounds each wait for CloudFormation."""

    client: "CloudFormationClient"
    target: Target
    watcher: Watcher = field(default_factory=Watcher)
    clock: Clock = field(default_factory=SystemClock)
    deadline_s: float = 900.0
    poll_s: float = 2.0
    may_be_unsupported: frozenset[str] = frozenset()
    """Resource types that LocalStack may leave out."""
    new_name: Callable[[], str] = lambda: f"apply-{uuid.uuid4().hex}"

    def apply(self, stack: Stack, *, rebuild: bool = False) -> Outputs:
        """Bring the stack to its template and give its outputs. Blocks until CloudFormation has ended.

        ``rebuild`` makes it anew on LocalStack even where the template has not changed, for resources that were
        lost behind CloudFormation's back; on AWS it means nothing.

        Raises:
            StackFailedError, StackBlockedError, ForeignStackError, UnsupportedResourceError, DeployTimeoutError:
                see there.
            botocore.exceptions.ClientError, BotoCoreError: the call itself failed.
        """
        before = self._settled(stack)
        replaceable = self.target == "localstack"
        if before and replaceable and (rebuild or before in _DEAD or before == "REVIEW_IN_PROGRESS"):
            self.watcher.rebuilding(stack.name)
            self._delete(stack)
            before = None
        kind: Literal["CREATE", "UPDATE"] = "CREATE" if before in {None, "REVIEW_IN_PROGRESS"} else "UPDATE"
        change_set = self._change_set(stack, kind)
        if change_set is not None and kind == "UPDATE" and replaceable:
            self.watcher.rebuilding(stack.name)
            self._delete(stack)
            kind = "CREATE"
            change_set = self._change_set(stack, kind)
        if change_set is not None:
            self._execute(stack, change_set)
        if replaceable:
            self._check_resources(stack.name)
        return self.outputs(stack.name)

    def outputs(self, name: str) -> Outputs:
        """The outputs of a stack; empty where there is no such stack."""
        found = self._find(name)
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])} if found else {}

    def _settled(self, stack: Stack) -> str | None:
        """The status of the stack once nothing is in progress; None where there is none."""
        found = self._find(stack.name)
        if found is None:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
        if tags.get("project") != stack.tags["project"]:
            raise ForeignStackError(
                f"Stack {stack.name} exists and has no tag project={stack.tags['project']}: it is not this "
                "pipeline's. Choose another PIPELINE_ID, or tag the stack if it is yours"
            )
        status = str(found["StackStatus"])
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            status = self._wait(stack.name, set()) or "DELETE_COMPLETE"
        if status == "DELETE_COMPLETE":
            return None
        if self.target == "aws" and (status in _DEAD or status == "UPDATE_ROLLBACK_FAILED"):
            way = "continue-update-rollback" if status == "UPDATE_ROLLBACK_FAILED" else "delete-stack"
            raise StackBlockedError(
                f"Stack {stack.name} is {status}. Look at its events, then end that state with "
                f"`aws cloudformation {way} --stack-name {stack.name}` and apply again"
            )
        return status

    def _find(self, name: str) -> "StackTypeDef | None":
        try:
            return self.client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def _change_set(self, stack: Stack, kind: Literal["CREATE", "UPDATE"]) -> str | None:
        """The name of a change set that is ready, after showing it; None when there is nothing to change."""
        name = self.new_name()
        self.client.create_change_set(
            StackName=stack.name,
            ChangeSetName=name,
            ChangeSetType=kind,
            TemplateBody=stack.body,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in stack.tags.items()],
        )
        end = self.clock.monotonic() + self.deadline_s
        while True:
            made = self.client.describe_change_set(StackName=stack.name, ChangeSetName=name)
            if made["Status"] == "CREATE_COMPLETE":
                break
            if made["Status"] == "FAILED":
                reason = made.get("StatusReason", "no reason given")
                self.client.delete_change_set(StackName=stack.name, ChangeSetName=name)
                if any(text in reason for text in _NO_CHANGES):
                    self.watcher.changes(stack.name, [])
                    return None
                raise StackFailedError(stack.name, "(the change set)", reason)
            self._sleep(end, stack.name, "making a change set")
        changed = [entry["ResourceChange"] for entry in made.get("Changes", []) if "ResourceChange" in entry]
        self.watcher.changes(
            stack.name,
            [Change(c.get("Action", ""), c.get("LogicalResourceId", ""), c.get("ResourceType", "")) for c in changed],
        )
        return name

    def _execute(self, stack: Stack, change_set: str) -> None:
        seen = {event["EventId"] for event in self._events(stack.name)}
        self.client.execute_change_set(StackName=stack.name, ChangeSetName=change_set)
        status = self._wait(stack.name, seen)
        if status not in _DONE:
            resource, reason = self._cause(stack.name, status)
            raise StackFailedError(stack.name, resource, reason)

    def _delete(self, stack: Stack) -> None:
        found = self._find(stack.name)
        if found is None:
            return
        stack_id = found["StackId"]  # a deleted stack is found by its id only
        self.client.delete_stack(StackName=stack.name)
        status = self._wait(stack_id, None)
        if status not in {None, "DELETE_COMPLETE"}:
            resource, reason = self._cause(stack_id, status)
            raise StackFailedError(stack.name, resource, reason)

    def _wait(self, name: str, seen: set[str] | None) -> str | None:
        """Wait until nothing is in progress, telling what happens if ``seen`` holds the events told before."""
        end = self.clock.monotonic() + self.deadline_s
        while True:
            found = self._find(name)
            if seen is not None and found is not None:
                for event in reversed(list(self._events(name))):
                    if event["EventId"] not in seen:
                        seen.add(event["EventId"])
                        self.watcher.progress(name, _progress(event))
            if found is None or not found["StackStatus"].endswith("_IN_PROGRESS"):
                return str(found["StackStatus"]) if found else None
            self._sleep(end, name, found["StackStatus"])

    def _sleep(self, end: float, name: str, doing: str) -> None:
        if self.clock.monotonic() >= end:
            raise DeployTimeoutError(f"Stack {name} is still {doing} after {self.deadline_s:.0f} s; apply again later")
        self.clock.sleep(self.poll_s)

    def _events(self, name: str) -> Iterator["StackEventTypeDef"]:
        """All events, the newest first."""
        try:
            for page in self.client.get_paginator("describe_stack_events").paginate(StackName=name):
                yield from page["StackEvents"]
        except ClientError as error:
            if "does not exist" not in str(error):  # gone since it was found: no events then
                raise

    def _cause(self, name: str, status: str | None) -> tuple[str, str]:
        """The resource that failed first, and why."""
        for event in reversed(list(self._events(name))):
            progress = _progress(event)
            if progress.status.endswith("_FAILED") and _NOT_THE_CAUSE not in progress.reason and progress.reason:
                return progress.resource, progress.reason
        found = self._find(name)
        said = found.get("StackStatusReason", "") if found else ""
        return "(the stack)", said or f"it ended as {status}"

    def _check_resources(self, name: str) -> None:
        missing = [
            f"{resource['LogicalResourceId']} ({resource['ResourceType']})"
            for page in self.client.get_paginator("list_stack_resources").paginate(StackName=name)
            for resource in page["StackResourceSummaries"]
            if resource.get("PhysicalResourceId", "unknown") == "unknown"
            and resource["ResourceType"] not in self.may_be_unsupported
        ]
        if missing:
            raise UnsupportedResourceError(
                f"Stack {name}: LocalStack reports these as made, but has no such resource type: {', '.join(missing)}. "
                "Put them under a condition that is false for it"
            )


def _progress(event: "StackEventTypeDef") -> Progress:
    return Progress(
        resource=event.get("LogicalResourceId", ""),
        status=event.get("ResourceStatus", ""),
        reason=" ".join(event.get("ResourceStatusReason", "").split()),
    )
