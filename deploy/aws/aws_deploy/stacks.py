"""One stack as CloudFormation gets it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_contracts.names import Names

from aws_deploy.parameters import check, parameters
from aws_deploy.render import render, template_path
from aws_deploy.wanted import STATEFUL, Earlier, StackKind, Wanted


@dataclass(frozen=True)
class Stack:
    """One stack as CloudFormation gets it."""

    name: str
    body: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    protected: bool = False
    """Is to be kept from deletion and from replacement of what holds data."""
    adopt: bool = False
    """Resources of the same name that are there already belong to it: take them over instead of making them."""


def stack_name(names: Names, kind: StackKind) -> str:
    """The name of one stack of one pipeline."""
    return f"{names.pipeline_id}-{kind}"


def build(kind: StackKind, wanted: Wanted, earlier: Earlier) -> Stack:
    """One stack, given the outputs of those before it.

    Raises:
        KeyError: a stack that it reads from has not been deployed.
        SettingError: a parameter has a value that the template does not allow.
    """
    given = parameters(kind, wanted, earlier)
    body = render(template_path(kind).read_text(encoding="utf-8"), given)
    name = stack_name(wanted.names, kind)
    check(name, json.loads(body)["Parameters"], given)
    return Stack(
        name=name,
        body=body,
        parameters=given,
        tags={"project": wanted.names.pipeline_id, "env": wanted.environment, "owner": wanted.owner},
        protected=wanted.size == "prod" and kind in STATEFUL,
    )
