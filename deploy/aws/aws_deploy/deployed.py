"""What a pipeline's stacks have now, so that an apply changes only what it was asked to change.

CloudFormation gives each parameter that is left out of an update its default again. A person who once gave
``--set`` or ``--size`` would have to repeat it each time, or lose brokers, certificates and trust.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pipeline_contracts.names import API_STAGE

from aws_deploy.errors import SettingError
from aws_deploy.stacks import Stack, stack_name
from aws_deploy.wanted import ALL, DEFAULT_SIZE, DEFAULT_TAGS, Size, StackKind, Wanted

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

NOTHING_MADE = {None, "REVIEW_IN_PROGRESS", "DELETE_COMPLETE", "ROLLBACK_COMPLETE"}
"""States of a stack that has no resources."""
NO_OUTPUTS = NOTHING_MADE | {"CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"}
"""States of a stack that no other can be built on."""

_KNOW_THE_STAGE: frozenset[StackKind] = frozenset({"proxy", "dashboard", "alarms"})


class Stacks(Protocol):
    """Finds stacks by name, as ``StackCalls`` does."""

    def find(self, name: str) -> "StackTypeDef | None":
        """The stack; None where there is none."""


@dataclass(frozen=True)
class Deployed:
    """Parameters (those with ``NoEcho`` as asterisks) and tags of one stack; none where nothing was made."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> Size | None:
        """The size that it was made for; None where that is not known."""
        known = self.parameters.get("Size", self.tags.get("size"))
        return None if known is None else "prod" if known == "prod" else "dev"


@dataclass(frozen=True)
class Deployment:
    """All stacks of one pipeline, as they are at one moment."""

    stacks: Mapping[StackKind, Deployed]

    @classmethod
    def look(cls, stacks: Stacks, wanted: Wanted) -> "Deployment":
        """Ask for each stack once. Blocks on each call."""
        found = {kind: stacks.find(stack_name(wanted.names, kind)) for kind in ALL}
        return cls({kind: _deployed(stack) for kind, stack in found.items() if stack is not None})

    def refreshed(self, stacks: Stacks, wanted: Wanted, kind: StackKind) -> "Deployment":
        """The same, with one stack as it is now."""
        found = stacks.find(stack_name(wanted.names, kind))
        return Deployment({**self.stacks, kind: Deployed() if found is None else _deployed(found)})

    def of(self, kind: StackKind) -> Deployed:
        """One stack; an empty one where there is none."""
        return self.stacks.get(kind, Deployed())

    def filled_in(self, kind: StackKind, wanted: Wanted) -> Wanted:
        """What is wanted of one stack, with what was not said filled in: as the stack has it, else as the others do."""
        own, others = self.of(kind), [self.stacks[other] for other in ALL if other in self.stacks]
        size = wanted.size or own.size or next((other.size for other in others if other.size), DEFAULT_SIZE)
        tags = {
            name: next((one.tags[name] for one in (own, *others) if name in one.tags), default)
            for name, default in DEFAULT_TAGS.items()
        }
        return replace(
            wanted,
            size=size,
            environment=wanted.environment or tags["env"],
            owner=wanted.owner or tags["owner"],
            stage=self._stage(wanted),
        )

    def with_its_tags(self, stack: Stack, kind: StackKind) -> Stack:
        """The same, with the tags that somebody else gave it: CloudFormation takes away those that are not repeated."""
        theirs = {key: value for key, value in self.of(kind).tags.items() if not key.startswith("aws:")}
        return replace(stack, tags={**theirs, **stack.tags})

    def check_stage(self, wanted: Wanted, kinds: Collection[StackKind]) -> None:
        """See that the API's stage can be the one that is wanted, and that those who know it will know the same.

        Raises:
            SettingError: the API is there with another one. The emitter's stack imports its address, and
                CloudFormation changes no output that is imported
                (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html);
                or a stack beside it, which is not among ``kinds``, stands for another one.
        """
        if wanted.target != "aws" or "api" not in kinds:
            return
        stage, own = self._stage(wanted), self.of("api").parameters.get("Stage")
        if own not in {None, stage}:
            raise SettingError(
                f"--set api.Stage={stage}: the API is there with stage {own}, which is part of its address. To change "
                "it, destroy stacks emitter and api (--stack emitter --stack api) and apply again"
            )
        for kind in _KNOW_THE_STAGE - set(kinds):
            if self.of(kind).parameters.get("Stage") not in {None, stage}:
                raise SettingError(f"The API's stage is to be {stage}, and stack {kind} has another; apply it too")

    def _stage(self, wanted: Wanted) -> str:
        known = [self.of(kind).parameters.get("Stage") for kind in ("api", *sorted(_KNOW_THE_STAGE, reverse=True))]
        chosen = wanted.overrides.get("api", {}).get("Stage")
        return chosen or next((stage for stage in known if stage), API_STAGE)


def _deployed(stack: "StackTypeDef") -> Deployed:
    if stack["StackStatus"] in NOTHING_MADE:
        return Deployed()
    return Deployed(
        {item["ParameterKey"]: item.get("ParameterValue", "") for item in stack.get("Parameters", [])},
        {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])},
    )
