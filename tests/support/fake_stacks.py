"""``FakeCloudFormation`` with what a deployment into AWS asks of it beyond LocalStack's three stacks."""

import json
from collections.abc import Iterator
from typing import Any

from aws_deploy.brokers import Cluster
from aws_deploy.render import NAMED_BY
from aws_deploy.resolve import resolve
from botocore.exceptions import ClientError
from fake_cloudformation import FakeCloudFormation, FakePaginator, refused

_UNDER_BROKERS = {
    "AWS::MSK::Configuration": "Configuration is in use by one or more clusters",
    "AWS::EC2::Subnet": "The subnet has dependencies and cannot be deleted",
}


class FakeStacks(FakeCloudFormation):
    """Fills ``options`` with what a call asked for besides the usual, and ``protected``, ``policies`` by stack.

    ``taken`` holds names of buckets, streams and repositories that are there: a creation fails at one unless its change
    set imports it under a name that is a plain string. ``drift`` is what DescribeStackResourceDrifts answers.
    While there is a ``cluster``, what it stands on cannot be deleted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.options: list[str] = []
        self.protected: set[str] = set()
        self.policies: dict[str, Any] = {}
        self.cluster: Cluster | None = None
        self.taken: set[str] = set()
        self.drift: list[dict[str, Any]] = []
        self.drift_error: ClientError | None = None
        self._importing: set[str] = set()
        self._detections: list[str] = []

    def create_change_set(self, *, ImportExistingResources: bool = False, **asked: Any) -> None:
        super().create_change_set(**asked)
        if ImportExistingResources:
            self.options.append(f"import {asked['StackName']}")
            self._importing.add(asked["ChangeSetName"])

    def execute_change_set(self, *, RetainExceptOnCreate: bool = False, **asked: Any) -> None:
        self._fail_at_taken_names(asked["ChangeSetName"])
        super().execute_change_set(**asked)
        if RetainExceptOnCreate:
            self.options.append(f"clean {asked['StackName']}")

    def delete_stack(self, *, StackName: str) -> None:
        super().delete_stack(StackName=StackName)
        stack = self.stacks[StackName]
        for name, item in json.loads(stack.body or "{}").get("Resources", {}).items():
            if self.cluster and item["Type"] in _UNDER_BROKERS:
                self._event(stack, name, "DELETE_FAILED", _UNDER_BROKERS[item["Type"]])
                stack.coming = ["DELETE_FAILED"]

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        found = super().describe_stacks(StackName)
        name = StackName.removeprefix("id-of-")
        found["Stacks"][0]["EnableTerminationProtection"] = name in self.protected
        return found

    def get_paginator(self, operation: str) -> FakePaginator:
        return _Paginator(self, operation)

    def _fail_at_taken_names(self, change_set: str) -> None:
        made = self._sets[change_set]
        resources = json.loads(made["body"])["Resources"]
        real = resolve(json.loads(made["body"]), made["parameters"])
        for logical_id, resource in real.items():
            name_property = NAMED_BY.get(resource["Type"], "")
            name = resource.get("Properties", {}).get(name_property)
            literal = isinstance(resources[logical_id].get("Properties", {}).get(name_property), str)
            if name in self.taken and not (literal and change_set in self._importing):
                self.fail_next = (logical_id, f"{name} already exists")

    def detect_stack_drift(self, *, StackName: str) -> dict[str, Any]:
        if self.drift_error:
            raise self.drift_error
        self._detections = ["DETECTION_IN_PROGRESS", "DETECTION_COMPLETE"]
        return {"StackDriftDetectionId": f"drift-of-{StackName}"}

    def describe_stack_drift_detection_status(self, *, StackDriftDetectionId: str) -> dict[str, Any]:
        return {"StackDriftDetectionId": StackDriftDetectionId, "DetectionStatus": self._detections.pop(0)}

    def describe_stack_resource_drifts(self, *, NextToken: str = "", **asked: Any) -> dict[str, Any]:
        """One a page."""
        page = int(NextToken or 0)
        more = {"NextToken": str(page + 1)} if page + 1 < len(self.drift) else {}
        return {"StackResourceDrifts": self.drift[page : page + 1], **more}

    def update_termination_protection(self, *, StackName: str, EnableTerminationProtection: bool) -> None:
        if EnableTerminationProtection:
            self.protected.add(StackName)
        else:
            self.protected.discard(StackName)

    def set_stack_policy(self, *, StackName: str, StackPolicyBody: str) -> None:
        self.policies[StackName] = json.loads(StackPolicyBody)


class FakeBrokers:
    """``aws_deploy.brokers.Brokers`` of these stacks."""

    def __init__(self, cloud: FakeStacks) -> None:
        self._cloud = cloud

    def find(self) -> Cluster | None:
        return self._cloud.cluster

    def delete(self, cluster: Cluster) -> None:
        assert cluster == self._cloud.cluster
        self._cloud.calls.append("await the end of the brokers" if cluster.going else "DELETE brokers")
        self._cloud.cluster = None


class _Paginator(FakePaginator):
    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:
        if StackName.removeprefix("id-of-") not in self.service.stacks:
            raise refused(self.operation, f"Stack [{StackName}] does not exist")
        yield from super().paginate(StackName)
