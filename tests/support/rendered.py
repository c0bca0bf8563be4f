"""Templates as CloudFormation gets them, for tests: all stacks of an AWS deployment that is not there."""

import functools
import json
from typing import Any, get_args

from aws_deploy.own_names import Service
from aws_deploy.stacks import Stack, build
from aws_deploy.wanted import ALL, OPTIONAL, Outputs, Size, StackKind, Wanted
from pipeline_contracts.names import Names
from pydantic import SecretStr

KEY_ARN = "arn:aws:kms:us-east-1:000000000000:key/1"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/pinterest/service@sha256:" + "0" * 64
EARLIER: dict[StackKind, Outputs] = {
    "data": {"KeyArn": KEY_ARN},
    "kafka": {"BootstrapServers": "b-1.example.com:9098,b-2.example.com:9098"},
    "proxy": {
        "ProxyUrl": "http://proxy.example.com",
        "VpcLinkId": "abc123",
        "LoadBalancerArn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/proxy/1",
    },
}


SIGN_IN = {
    "CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/1",
    "HostName": "dashboard.example.com",
    "OidcIssuer": "https://login.example.com",
    "OidcAuthorizationEndpoint": "https://login.example.com/authorize",
    "OidcTokenEndpoint": "https://login.example.com/token",
    "OidcUserInfoEndpoint": "https://login.example.com/userinfo",
    "OidcClientId": "dashboard",
}
"""What stack dashboard asks for: a name, and who signs people in."""


def wanted(size: Size = "dev", **overrides: dict[str, str]) -> Wanted:
    return Wanted(
        Names("pinterest"),
        "aws",
        "",
        "http://proxy",
        SecretStr("k" * 20),
        size=size,
        images=dict.fromkeys(get_args(Service), IMAGE),
        plugin_sha256="0" * 64,
        startup_version="1",
        overrides=overrides,  # type: ignore[arg-type]  # names of stacks, checked by build
    )


def optional(*kinds: StackKind) -> dict[str, dict[str, str]]:
    """What those of these stacks ask for that are left out unless something is asked of them."""
    return {kind: SIGN_IN for kind in kinds if kind in OPTIONAL}


def document(kind: StackKind) -> Any:
    """A copy that a test may break."""
    return json.loads(stack(kind).body)


@functools.cache
def stack(kind: StackKind, size: Size = "dev") -> Stack:
    return build(kind, wanted(size, **optional(kind)), EARLIER)


def documents() -> dict[StackKind, Any]:
    return {kind: document(kind) for kind in ALL}
