"""One stack as CloudFormation gets it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipeline_contracts.names import Names

from aws_deploy.errors import SettingError
from aws_deploy.parameters import check, check_resets, check_values, parameters
from aws_deploy.render import parse, render, template_path
from aws_deploy.wanted import ALL, DEFAULT_SIZE, DEFAULT_TAGS, STATEFUL, Earlier, StackKind, Wanted

# Another value for one apply would replace what holds data by something of another name.
_FIXED = {"PipelineId", "Target", "BucketName"}
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Stack:
    """One stack as CloudFormation gets it."""

    name: str
    body: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    protected: bool = False
    """Is to be kept from deletion and from replacement of what holds data."""
    kept: frozenset[str] = frozenset()
    """Those of ``parameters`` whose value is the one that the stack has already."""
    adopt: bool = False
    """Resources of the same name that are there already belong to it: take them over instead of making them."""


def stack_name(names: Names, kind: StackKind) -> str:
    """The name of one stack of one pipeline."""
    return f"{names.pipeline_id}-{kind}"


def check_asked(wanted: Wanted, kinds: Collection[StackKind]) -> None:
    """Check what a person has asked of single stacks, before the first one is changed.

    Raises:
        SettingError: it is asked of another stack than ``kinds``, which would not get it; it would rename what is
            there; or its template has no such parameter, or does not allow the value.
    """
    for kind in ALL:
        chosen, resets = wanted.overrides.get(kind, {}), wanted.resets.get(kind, frozenset())
        asked = [*(f"--set {kind}.{name}" for name in chosen), *(f"--reset {kind}.{name}" for name in sorted(resets))]
        if not asked:
            continue
        if kind not in kinds:
            raise SettingError(
                f"{asked[0]}: stack {kind} is not among those that this is about ({', '.join(kinds)}); "
                "nothing was changed"
            )
        if fixed := _FIXED & set(chosen):
            raise SettingError(
                f"--set {kind}.{min(fixed)}: it follows from --pipeline-id and the target, as the names of all that is "
                "there do; for other names choose another --pipeline-id"
            )
        name, declared = stack_name(wanted.names, kind), _declared(kind)
        check_resets(name, declared, resets, chosen)
        check_values(name, declared, chosen)


def _declared(kind: StackKind) -> Mapping[str, Mapping[str, Any]]:
    declared: Mapping[str, Mapping[str, Any]] = parse(template_path(kind).read_text(encoding="utf-8"))["Parameters"]
    return declared


def build(kind: StackKind, wanted: Wanted, earlier: Earlier, has: Mapping[str, str] = _NOTHING) -> Stack:
    """One stack, given the outputs of those before it and the parameters that it ``has`` now.

    A parameter that neither follows from the rest nor was given keeps its value.

    Raises:
        KeyError: a stack that it reads from has not been deployed.
        SettingError: a parameter has a value that the template does not allow.
    """
    template = template_path(kind).read_text(encoding="utf-8")
    declared = _declared(kind)
    name = stack_name(wanted.names, kind)
    resets = wanted.resets.get(kind, frozenset())
    earlier_values = {
        key: value
        for key, value in has.items()
        # A secret is told as asterisks: it can be kept in an update, and LocalStack's stacks are recreated instead.
        if key in declared and key not in resets and not (declared[key].get("NoEcho") and wanted.target == "localstack")
    }
    given, kept = parameters(kind, wanted, earlier, earlier_values)
    check(name, declared, given, kept)
    return Stack(
        name=name,
        body=render(template, given),
        parameters=given,
        tags={
            "project": wanted.names.pipeline_id,
            "env": wanted.environment or DEFAULT_TAGS["env"],
            "owner": wanted.owner or DEFAULT_TAGS["owner"],
            "size": wanted.size or DEFAULT_SIZE,
        },
        protected=wanted.size == "prod" and kind in STATEFUL,
        kept=kept,
    )
