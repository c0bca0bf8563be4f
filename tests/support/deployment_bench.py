"""A whole AWS deployment on ``FakeStacks``, by the real apply."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast, get_args

from aws_deploy.apply import apply_stacks
from aws_deploy.deployer import Deployer
from aws_deploy.own_names import Service
from aws_deploy.surroundings import Nothing
from aws_deploy.wanted import ALL, OPTIONAL, Outputs, StackKind, Wanted
from fake_stacks import FakeStacks
from mypy_boto3_cloudformation import CloudFormationClient
from rendered import EARLIER, IMAGE, wanted
from service_kit.clock import ManualClock

BARE = replace(wanted(), size=None, images={}, plugin_sha256="", startup_version="")
"""Nothing is asked for."""


USUAL = tuple(kind for kind in ALL if kind not in OPTIONAL)
"""The stacks of an apply that nobody has asked for more."""


class Around(Nothing):
    """Finds an image and a plug-in at a stack's first creation, and MSK's addresses."""

    def before(self, kind: StackKind, wanted: Wanted, has: Mapping[str, str]) -> Wanted:
        if has:
            return wanted
        images = dict.fromkeys(get_args(Service), IMAGE)
        return replace(wanted, images=images, plugin_sha256="1" * 64, startup_version="1")

    def after(self, kind: StackKind, outputs: Outputs) -> Outputs:
        return EARLIER.get(kind, {}) if outputs else {}


@dataclass
class Bench:
    cloud: FakeStacks = field(default_factory=FakeStacks)

    def deployer(self) -> Deployer:
        return Deployer(cast("CloudFormationClient", self.cloud), "aws", clock=ManualClock())

    def apply(self, asked: Wanted) -> None:
        apply_stacks(self.deployer(), asked, kinds=USUAL, surroundings=Around())

    def parameters(self, kind: StackKind) -> dict[str, str]:
        return self.cloud.stacks[f"pinterest-{kind}"].parameters

    def all(self) -> dict[StackKind, dict[str, str]]:
        return {kind: dict(self.parameters(kind)) for kind in USUAL}
