"""Which stacks there are, in which order, and where their parameters come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline_contracts.names import API_STAGE, STREAM_SHARDS, Names
from pydantic import SecretStr

from aws_deploy.clients import Target
from aws_deploy.render import render, template_path

StackKind = Literal["data", "streams", "api"]
ORDER: tuple[StackKind, ...] = get_args(StackKind)
"""Each one reads outputs of earlier ones only."""

Outputs = Mapping[str, str]


@dataclass(frozen=True)
class Wanted:
    """What a person decides about a deployment; all else follows from it."""

    names: Names
    target: Target
    local_endpoint: str
    proxy_url: str
    api_key: SecretStr
    environment: str = "dev"
    owner: str = "unknown"


@dataclass(frozen=True)
class Stack:
    """One stack as CloudFormation gets it."""

    name: str
    body: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def stack_name(names: Names, kind: StackKind) -> str:
    """The name of one stack of one pipeline."""
    return f"{names.pipeline_id}-{kind}"


def build(kind: StackKind, wanted: Wanted, earlier: Mapping[StackKind, Outputs]) -> Stack:
    """One stack, given the outputs of those before it.

    Raises:
        KeyError: a stack that it reads from has not been deployed.
    """
    parameters = _PARAMETERS[kind](wanted, earlier)
    return Stack(
        name=stack_name(wanted.names, kind),
        body=render(template_path(kind).read_text(encoding="utf-8"), parameters),
        parameters=parameters,
        tags={"project": wanted.names.pipeline_id, "env": wanted.environment, "owner": wanted.owner},
    )


def _data(wanted: Wanted, _earlier: Mapping[StackKind, Outputs]) -> dict[str, str]:
    return {
        "PipelineId": wanted.names.pipeline_id,
        "Target": wanted.target,
        "BucketName": wanted.names.bucket,
    }


def _streams(wanted: Wanted, earlier: Mapping[StackKind, Outputs]) -> dict[str, str]:
    return {
        "PipelineId": wanted.names.pipeline_id,
        "Shards": str(STREAM_SHARDS),
        "KeyArn": earlier["data"].get("KeyArn", ""),
    }


def _api(wanted: Wanted, earlier: Mapping[StackKind, Outputs]) -> dict[str, str]:
    return {
        "PipelineId": wanted.names.pipeline_id,
        "Target": wanted.target,
        "LocalEndpoint": wanted.local_endpoint,
        "Stage": API_STAGE,
        "ProxyUrl": wanted.proxy_url.rstrip("/"),
        "KeyArn": earlier["data"].get("KeyArn", ""),
        "ApiKeyValue": wanted.api_key.get_secret_value(),
    }


_PARAMETERS = {"data": _data, "streams": _streams, "api": _api}
