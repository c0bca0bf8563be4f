"""As much of CloudFormation as ``aws_deploy.deployer`` uses, in memory; time moves with each look.

Its answers have the form that ``tests/integration/test_gateway_deploy.py`` sees in LocalStack.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

_CAN_BE_UPDATED = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
}


def refused(operation: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationError", "Message": message}}, operation)


@dataclass
class FakeStack:
    name: str
    status: str
    tags: list[dict[str, str]]
    body: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, str]] = field(default_factory=list)
    coming: list[str] = field(default_factory=list)

    def move(self) -> None:
        """Go on to the next status, if one is coming."""
        if self.coming:
            self.status = self.coming.pop(0)


class FakeCloudFormation:
    """Fills ``calls`` with what was asked for. ``fail_next`` makes the next execution fail at that resource.

    An update replaces the resources in ``replaced``, and fails where it does: they have fixed names.
    """

    def __init__(self) -> None:
        self.stacks: dict[str, FakeStack] = {}
        self.calls: list[str] = []
        self.fail_next: tuple[str, str] | None = None
        self.stuck = False
        self.unknown: set[str] = set()
        self.replaced: set[str] = set()
        self._sets: dict[str, dict[str, Any]] = {}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        stack = self.stacks.get(StackName.removeprefix("id-of-"))
        if stack is None:
            raise refused("DescribeStacks", f"Stack with id {StackName} does not exist")
        status = stack.status
        stack.move()
        if status == "DELETE_COMPLETE" and StackName.startswith("id-of-"):
            del self.stacks[stack.name]
        outputs = json.loads(stack.body or "{}").get("Outputs", {})
        return {
            "Stacks": [
                {
                    "StackId": f"id-of-{stack.name}",
                    "StackStatus": status,
                    "Tags": stack.tags,
                    "Parameters": [
                        {"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()
                    ],
                    "Outputs": [{"OutputKey": key, "OutputValue": item["Value"]} for key, item in outputs.items()],
                }
            ]
        }

    def create_change_set(
        self,
        *,
        StackName: str,
        ChangeSetName: str,
        ChangeSetType: str,
        TemplateBody: str,
        Parameters: list[dict[str, Any]],
        Capabilities: list[str],
        Tags: list[dict[str, str]],
    ) -> None:
        self.calls.append(f"{ChangeSetType} {StackName}")
        before = self.stacks.get(StackName)
        if ChangeSetType == "CREATE" and before is not None and before.status != "REVIEW_IN_PROGRESS":
            raise refused("CreateChangeSet", f"Stack {StackName} already exists")
        if ChangeSetType == "UPDATE" and before is not None and before.status not in _CAN_BE_UPDATED:
            raise refused("CreateChangeSet", f"Stack:{StackName} is in {before.status} state and can not be updated.")
        has = before.parameters if before is not None and ChangeSetType == "UPDATE" else {}
        parameters = _values(json.loads(TemplateBody).get("Parameters", {}), Parameters, has)
        asked = (TemplateBody, parameters, Tags)
        same = before is not None and (before.body, before.parameters, before.tags) == asked
        if before is None:
            self.stacks[StackName] = FakeStack(StackName, "REVIEW_IN_PROGRESS", Tags)
        self._sets[ChangeSetName] = {
            "Status": "FAILED" if same else "CREATE_COMPLETE",
            "StatusReason": "The submitted information didn't contain changes." if same else "",
            "Changes": [
                {
                    "ResourceChange": {
                        "Action": "Add" if ChangeSetType == "CREATE" else "Modify",
                        "LogicalResourceId": name,
                        "ResourceType": item["Type"],
                        "Replacement": str(ChangeSetType == "UPDATE" and name in self.replaced),
                    }
                }
                for name, item in json.loads(TemplateBody)["Resources"].items()
            ],
            "body": TemplateBody,
            "parameters": parameters,
            "tags": Tags,
        }

    def describe_change_set(self, *, StackName: str, ChangeSetName: str) -> dict[str, Any]:
        return self._sets[ChangeSetName]

    def delete_change_set(self, *, StackName: str, ChangeSetName: str) -> None:
        del self._sets[ChangeSetName]

    def execute_change_set(self, *, StackName: str, ChangeSetName: str) -> None:
        stack, made = self.stacks[StackName], self._sets.pop(ChangeSetName)
        verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        before = stack.body, stack.parameters, stack.tags
        stack.body, stack.parameters, stack.tags = made["body"], made["parameters"], made["tags"]
        stack.status = f"{verb}_IN_PROGRESS"
        if self.stuck:
            return
        names = json.loads(stack.body)["Resources"]
        for name in names:
            self._event(stack, name, f"{verb}_IN_PROGRESS", "")
        if verb == "UPDATE" and (twins := self.replaced & set(names)):
            self.fail_next = self.fail_next or (min(twins), "already exists")
        if self.fail_next is None:
            stack.coming = [f"{verb}_COMPLETE"]
            for name in names:
                self._event(stack, name, f"{verb}_COMPLETE", "")
            return
        resource, reason = self.fail_next
        self.fail_next = None
        self._event(stack, "Another", f"{verb}_FAILED", "Resource creation cancelled")
        self._event(stack, resource, f"{verb}_FAILED", reason)
        undone = "ROLLBACK" if verb == "CREATE" else "UPDATE_ROLLBACK"
        self._event(stack, StackName, f"{undone}_IN_PROGRESS", "The following resource(s) failed")
        stack.coming = [f"{undone}_IN_PROGRESS", f"{undone}_COMPLETE"]
        if verb == "UPDATE":
            stack.body, stack.parameters, stack.tags = before

    def delete_stack(self, *, StackName: str) -> None:
        self.calls.append(f"DELETE {StackName}")
        stack = self.stacks[StackName]
        stack.status, stack.coming = "DELETE_IN_PROGRESS", ["DELETE_COMPLETE"]

    def get_paginator(self, operation: str) -> "FakePaginator":
        return FakePaginator(self, operation)

    def _event(self, stack: FakeStack, resource: str, status: str, reason: str) -> None:
        event = {"EventId": str(len(stack.events)), "LogicalResourceId": resource, "ResourceStatus": status}
        stack.events.insert(0, event | ({"ResourceStatusReason": reason} if reason else {}))


def _values(declared: dict[str, dict[str, Any]], given: list[dict[str, Any]], has: dict[str, str]) -> dict[str, str]:
    """The value of every parameter. As on AWS, one that is left out gets its default, whatever the stack has."""
    found = {name: str(rule["Default"]) for name, rule in declared.items() if "Default" in rule}
    for item in given:
        name = item["ParameterKey"]
        if name not in declared:
            raise refused("CreateChangeSet", f"Parameters: [{name}] do not exist in the template")
        if not item.get("UsePreviousValue"):
            found[name] = item["ParameterValue"]
        elif "ParameterValue" in item or name not in has:
            raise refused("CreateChangeSet", f"Invalid input for parameter key {name}: no previous value to use")
        else:
            found[name] = has[name]
    if missing := sorted(set(declared) - set(found)):
        raise refused("CreateChangeSet", f"Parameters: {missing} must have values")
    return found


@dataclass
class FakePaginator:
    service: FakeCloudFormation
    operation: str

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:
        stack = self.service.stacks[StackName.removeprefix("id-of-")]
        if self.operation == "describe_stack_events":
            middle = len(stack.events) // 2
            yield {"StackEvents": stack.events[:middle]}
            yield {"StackEvents": stack.events[middle:]}
        else:
            undone = stack.status in {"ROLLBACK_COMPLETE", "DELETE_COMPLETE"}
            yield {
                "StackResourceSummaries": [
                    {
                        "LogicalResourceId": name,
                        "ResourceType": item["Type"],
                        "ResourceStatus": "DELETE_COMPLETE" if undone else "CREATE_COMPLETE",
                        "PhysicalResourceId": "unknown" if item["Type"] in self.service.unknown else f"made-{name}",
                    }
                    for name, item in json.loads(stack.body)["Resources"].items()
                ]
            }
