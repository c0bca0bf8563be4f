"""One stack as CloudFormation gets it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipeline_contracts.names import Names

from aws_deploy.parameters import check, check_resets, parameters
from aws_deploy.render import parse, render, template_path
from aws_deploy.wanted import STATEFUL, Earlier, StackKind, Wanted

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


def build(kind: StackKind, wanted: Wanted, earlier: Earlier, has: Mapping[str, str] = _NOTHING) -> Stack:
    """One stack, given the outputs of those before it and the parameters that it ``has`` now.

    A parameter that neither follows from the rest nor was given keeps its value.

    Raises:
        KeyError: a stack that it reads from has not been deployed.
        SettingError: a parameter has a value that the template does not allow.
    """
    template = template_path(kind).read_text(encoding="utf-8")
    declared: Mapping[str, Mapping[str, Any]] = parse(template)["Parameters"]
    name = stack_name(wanted.names, kind)
    resets = wanted.resets.get(kind, frozenset())
    check_resets(name, declared, resets, wanted.overrides.get(kind, {}))
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
            "env": wanted.environment,
            "owner": wanted.owner,
            "size": wanted.size or "dev",
        },
        protected=wanted.size == "prod" and kind in STATEFUL,
        kept=kept,
    )
