"""Single steps with one stack in CloudFormation: look, make a change set, execute, delete, wait."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError
from service_kit.clock import Clock, SystemClock

from aws_deploy.clients import Target
from aws_deploy.errors import DeployTimeoutError, ForeignStackError, StackFailedError
from aws_deploy.stacks import Stack
from aws_deploy.wanted import Outputs
from aws_deploy.watcher import Change, Progress, Watcher

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, StackEventTypeDef, StackTypeDef

DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
"""States of a stack that is as its template says."""
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_NOT_THE_CAUSE = "Resource creation cancelled"

type SetType = Literal["CREATE", "UPDATE"]


@dataclass(frozen=True)
class StackCalls:
    """Steps with stacks, through the client it is given. ``deadline_s`` bounds each wait for CloudFormation."""

    client: "CloudFormationClient"
    target: Target
    watcher: Watcher = field(default_factory=Watcher)
    clock: Clock = field(default_factory=SystemClock)
    deadline_s: float = 900.0
    poll_s: float = 2.0
    new_name: Callable[[], str] = lambda: f"apply-{uuid.uuid4().hex}"

    def outputs(self, name: str) -> Outputs:
        """The outputs of a stack; empty where there is no such stack."""
        found = self.find(name)
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])} if found else {}

    def find(self, name: str) -> "StackTypeDef | None":
        """The stack; None where there is none."""
        try:
            return self.client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def status(self, name: str, project: str) -> str | None:
        """The status of a stack as it is now; None where there is none.

        Raises:
            ForeignStackError: it has not our tag.
        """
        found = self.find(name)
        if found is None:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
        # Until its first change set is executed a stack holds nothing, and LocalStack tells no tags of it.
        nobodys = found["StackStatus"] == "REVIEW_IN_PROGRESS" and "project" not in tags
        if tags.get("project") != project and not nobodys:
            raise ForeignStackError(
                f"Stack {name} exists and has no tag project={project}: it is not this "
                "pipeline's. Choose another PIPELINE_ID, or tag the stack if it is yours"
            )
        return str(found["StackStatus"])

    def settled(self, name: str, project: str) -> str | None:
        """The status once nothing is in progress; None where there is no stack. Blocks until then."""
        status = self.status(name, project)
        if status and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            status = self.wait(name, set())
        return None if status == "DELETE_COMPLETE" else status

    def change_set(self, stack: Stack, kind: SetType) -> tuple[str, list[Change]] | None:
        """Name and content of a change set that is ready; None when there is nothing to change. Blocks.

        Raises:
            StackFailedError: CloudFormation cannot make it.
        """
        name = self.new_name()
        adopt: dict[str, Any] = {"ImportExistingResources": True} if stack.adopt else {}
        self.client.create_change_set(
            StackName=stack.name,
            ChangeSetName=name,
            ChangeSetType=kind,
            TemplateBody=stack.body,
            Parameters=[_parameter(stack, key, kind) for key in stack.parameters],
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in stack.tags.items()],
            **adopt,
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
                    return None
                raise StackFailedError(stack.name, "(the change set)", reason)
            self._sleep(end, stack.name, "making a change set")
        changed = [entry["ResourceChange"] for entry in made.get("Changes", []) if "ResourceChange" in entry]
        return name, [
            Change(
                action=change.get("Action", ""),
                resource=change.get("LogicalResourceId", ""),
                kind=change.get("ResourceType", ""),
                replacement=change.get("Replacement", ""),
            )
            for change in changed
        ]

    def execute(self, stack: Stack, change_set: str, kind: SetType) -> None:
        """Execute a change set, telling the watcher what happens. Blocks until it has ended.

        Raises:
            StackFailedError: a resource failed.
        """
        # A creation that fails must not leave resources with DeletionPolicy Retain behind: their names would then
        # be in the way of the next try.
        clean: dict[str, Any] = {"RetainExceptOnCreate": True} if kind == "CREATE" and not stack.adopt else {}
        before = {event["EventId"] for event in self._events(stack.name)}
        self.client.execute_change_set(StackName=stack.name, ChangeSetName=change_set, **clean)
        status = self.wait(stack.name, set(before))
        if status not in DONE:
            resource, reason = self._cause(stack.name, status, before)
            raise StackFailedError(stack.name, resource, reason)

    def delete(self, name: str, *, tell: bool = False) -> None:
        """Delete a stack; one that is not there is no error. Blocks until it is gone.

        Raises:
            StackFailedError: a resource could not be deleted.
        """
        found = self.find(name)
        if found is None:
            return
        stack_id = found["StackId"]  # a deleted stack is found by its id only
        before = {event["EventId"] for event in self._events(stack_id)}
        self.client.delete_stack(StackName=name)
        status = self.wait(stack_id, set(before) if tell else None)
        if status not in {None, "DELETE_COMPLETE"}:
            resource, reason = self._cause(stack_id, status, before)
            raise StackFailedError(name, resource, reason)

    def wait(self, name: str, seen: set[str] | None) -> str | None:
        """Wait until nothing is in progress, telling what happens if ``seen`` holds the events told before."""
        end = self.clock.monotonic() + self.deadline_s
        while True:
            found = self.find(name)
            if seen is not None and found is not None:
                for event in reversed(list(self._events(name))):
                    if event["EventId"] not in seen:
                        seen.add(event["EventId"])
                        self.watcher.progress(found.get("StackName", name), _progress(event))
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

    def _cause(self, name: str, status: str | None, before: set[str]) -> tuple[str, str]:
        """The resource that failed first since the events ``before``, and why."""
        for event in reversed(list(self._events(name))):
            progress = _progress(event)
            if event["EventId"] in before:
                continue
            if progress.status.endswith("_FAILED") and _NOT_THE_CAUSE not in progress.reason and progress.reason:
                return progress.resource, progress.reason
        found = self.find(name)
        said = found.get("StackStatusReason", "") if found else ""
        return "(the stack)", said or f"it ended as {status}"


def _parameter(stack: Stack, key: str, kind: SetType) -> "ParameterTypeDef":
    """A stack that is made has no earlier value of anything."""
    if kind == "UPDATE" and key in stack.kept:
        return {"ParameterKey": key, "UsePreviousValue": True}
    return {"ParameterKey": key, "ParameterValue": stack.parameters[key]}


def _progress(event: "StackEventTypeDef") -> Progress:
    return Progress(
        resource=event.get("LogicalResourceId", ""),
        status=event.get("ResourceStatus", ""),
        reason=" ".join(event.get("ResourceStatusReason", "").split()),
    )
