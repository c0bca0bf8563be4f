"""``FakeCloudFormation`` with what a deployment into AWS asks of it beyond LocalStack's three stacks."""

import json
from typing import Any

from fake_cloudformation import FakeCloudFormation


class FakeStacks(FakeCloudFormation):
    """Fills ``options`` with what a call asked for besides the usual, and ``protected``, ``policies`` by stack."""

    def __init__(self) -> None:
        super().__init__()
        self.options: list[str] = []
        self.protected: set[str] = set()
        self.policies: dict[str, Any] = {}

    def create_change_set(self, *, ImportExistingResources: bool = False, **asked: Any) -> None:
        super().create_change_set(**asked)
        if ImportExistingResources:
            self.options.append(f"import {asked['StackName']}")

    def execute_change_set(self, *, RetainExceptOnCreate: bool = False, **asked: Any) -> None:
        super().execute_change_set(**asked)
        if RetainExceptOnCreate:
            self.options.append(f"clean {asked['StackName']}")

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        found = super().describe_stacks(StackName)
        name = StackName.removeprefix("id-of-")
        found["Stacks"][0]["EnableTerminationProtection"] = name in self.protected
        return found

    def update_termination_protection(self, *, StackName: str, EnableTerminationProtection: bool) -> None:
        if EnableTerminationProtection:
            self.protected.add(StackName)
        else:
            self.protected.discard(StackName)

    def set_stack_policy(self, *, StackName: str, StackPolicyBody: str) -> None:
        self.policies[StackName] = json.loads(StackPolicyBody)
