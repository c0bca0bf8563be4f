"""Brings one stack to what its template says: change set, show, execute, wait.

On LocalStack two things differ, because it says "done" where nothing was done. A changed stack is deleted and made
anew (most of its resource types ignore updates); resources with ``DeletionPolicy: Retain`` outlive that. And each
resource is looked at afterwards, because a type that it does not know "succeeds" too.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_deploy.calls import SetType, StackCalls
from aws_deploy.drift import differences
from aws_deploy.errors import StackBlockedError, UnsupportedResourceError
from aws_deploy.stacks import Stack
from aws_deploy.wanted import Outputs
from aws_deploy.watcher import Change

# A stack whose update failed is in use: it is never to be deleted for that.
# Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
_ENDED_BY = {
    "CREATE_FAILED": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
    "DELETE_FAILED": "delete-stack",
    "UPDATE_FAILED": "rollback-stack",
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
}
"""States that CloudFormation does not leave by an update, and the command of its CLI that ends each."""
_HOLD_DATA = ("AWS::S3::Bucket", "AWS::Kinesis::Stream", "AWS::KMS::Key", "AWS::MSK::Cluster", "AWS::MSK::Topic")


def must_be_made_anew(changes: Sequence[Change]) -> bool:
    """Whether CloudFormation cannot make these changes: they replace a connector, or what it cannot change.

    A connector has a fixed name, since its consumer group follows from it, and CloudFormation makes the new one before
    it deletes the old one. The stack holds no data: what was read is known to Kafka, and the new connector goes on.
    """
    return any(change.kind.startswith("AWS::KafkaConnect::") and change.replacement == "True" for change in changes)


def stop_if_blocked(name: str, status: str) -> None:
    """Do nothing to a stack that only a person may bring out of its state.

    Raises:
        StackBlockedError: it is in such a state; the text gives the command.
    """
    if way := _ENDED_BY.get(status):
        raise StackBlockedError(
            f"Stack {name} is {status}. Look at its events, then end that state with "
            f"`aws cloudformation {way} --stack-name {name}` and apply again"
        )


@dataclass(frozen=True)
class Deployer(StackCalls):
    """Applies stacks."""

    may_be_unsupported: frozenset[str] = frozenset()
    """Resource types that LocalStack may leave out."""
    stand_in: bool = False
    """The target is AWS, but LocalStack stands in for it, as in tests: look for resources that it left out, and do
    without stack policies, which it lacks."""

    def apply(self, stack: Stack, *, rebuild: bool = False) -> Outputs:
        """Bring the stack to its template and give its outputs. Blocks until CloudFormation has ended.

        ``rebuild`` makes it anew on LocalStack even where the template has not changed, for resources that were
        lost behind CloudFormation's back; on AWS it means nothing.

        Raises:
            StackFailedError, StackBlockedError, ForeignStackError, UnsupportedResourceError, DeployTimeoutError:
                see there.
            botocore.exceptions.ClientError, BotoCoreError: the call itself failed.
        """
        before = self.settled(stack.name, stack.tags["project"])
        replaceable = self.target == "localstack"
        unfit = before in _ENDED_BY or before in {"ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"}
        if before and replaceable and (rebuild or unfit):
            self.watcher.rebuilding(stack.name)
            self.delete(stack.name)
            before = None
        elif before == "ROLLBACK_COMPLETE":
            # Its first creation failed and was undone: it holds nothing, and can only be deleted.
            self.watcher.restarting(stack.name)
            self.delete(stack.name)
            before = None
        if before and not replaceable:
            stop_if_blocked(stack.name, before)
        kind: SetType = "CREATE" if before in {None, "REVIEW_IN_PROGRESS"} else "UPDATE"
        made = self._shown(stack, kind)
        if made and kind == "UPDATE" and replaceable:
            self.watcher.rebuilding(stack.name)
            self.delete(stack.name)
            kind, made = "CREATE", self._shown(stack, "CREATE")
        elif made and kind == "UPDATE" and must_be_made_anew(made[1]):
            self.watcher.making_anew(stack.name)
            self.delete(stack.name, tell=True)
            kind, made = "CREATE", self._shown(stack, "CREATE")
        if made:
            self.execute(stack, made[0], kind)
        if stack.adopt and not replaceable:
            for difference in differences(self.client, stack.name, self.clock, self.poll_s):
                self.watcher.adopted(stack.name, difference)
        if replaceable or self.stand_in:
            self._check_resources(stack.name)
        if stack.protected and not replaceable:
            self._protect(stack)
        return self.outputs(stack.name)

    def _shown(self, stack: Stack, kind: SetType) -> tuple[str, list[Change]] | None:
        made = self.change_set(stack, kind)
        self.watcher.changes(stack.name, made[1] if made else [])
        return made

    def _protect(self, stack: Stack) -> None:
        if not self.stand_in:
            self._keep_what_holds_data(stack)
        self.client.update_termination_protection(StackName=stack.name, EnableTerminationProtection=True)

    def _keep_what_holds_data(self, stack: Stack) -> None:
        resources: dict[str, Any] = json.loads(stack.body)["Resources"]
        kept = sorted(name for name, resource in resources.items() if resource["Type"] in _HOLD_DATA)
        every = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
        never = {
            "Effect": "Deny",
            "Action": ["Update:Replace", "Update:Delete"],
            "Principal": "*",
            "Resource": [f"LogicalResourceId/{name}" for name in kept],
        }
        self.client.set_stack_policy(StackName=stack.name, StackPolicyBody=json.dumps({"Statement": [every, never]}))

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
