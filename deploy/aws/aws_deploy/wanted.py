"""What a person decides about a deployment, and which stacks there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from pipeline_contracts.names import API_STAGE, Names
from pydantic import SecretStr

from aws_deploy.clients import Target

StackKind = Literal[
    "data",
    "streams",
    "images",
    "network",
    "kafka",
    "connect",
    "proxy",
    "api",
    "emitter",
    "popularity",
    "dashboard",
    "mwaa",
    "databricks",
    "alarms",
]
ALL: tuple[StackKind, ...] = get_args(StackKind)
"""All stacks, in order: each one reads outputs and exports of earlier ones only."""

ORDER: tuple[StackKind, ...] = ("data", "streams", "api")
"""Those that the laptop gets too, in order."""

NEEDS: Mapping[StackKind, frozenset[StackKind]] = {
    "data": frozenset(),
    "streams": frozenset({"data"}),
    "images": frozenset({"data"}),
    "network": frozenset({"data"}),
    "kafka": frozenset({"data", "network"}),
    "connect": frozenset({"data", "network", "kafka"}),
    "proxy": frozenset({"data", "network", "kafka"}),
    "api": frozenset({"data"}),
    "emitter": frozenset({"data", "network", "api"}),
    "popularity": frozenset({"data", "network", "proxy"}),
    "dashboard": frozenset({"data", "network", "proxy"}),
    "mwaa": frozenset({"data", "network"}),
    "databricks": frozenset({"data"}),
    "alarms": frozenset({"data", "proxy", "mwaa"}),
}
"""Stacks whose exports a stack imports; without them it cannot be made. A test compares this with the templates."""

OPTIONAL: frozenset[StackKind] = frozenset({"dashboard"})
"""Left out unless it is there already, or something is asked of it: it needs what not everybody has."""

STATEFUL: frozenset[StackKind] = frozenset({"data", "streams", "kafka"})
"""Protected against deletion in prod."""

Size = Literal["dev", "prod"]
DEFAULT_SIZE: Size = "dev"
DEFAULT_TAGS: Mapping[str, str] = {"env": "dev", "owner": "unknown"}
"""Of the first stack of a pipeline, where nobody has said another."""
Outputs = Mapping[str, str]
Earlier = Mapping[StackKind, Outputs]


@dataclass(frozen=True)
class Wanted:
    """What a person decides about a deployment; all else follows from it."""

    names: Names
    target: Target
    local_endpoint: str
    proxy_url: str
    api_key: SecretStr
    environment: str = ""
    """Tag of every resource; empty for what the stacks have."""
    owner: str = ""
    """The same."""
    admin_key: SecretStr | None = None
    """Makes and deletes streams through the gateway; None for what the stack has, at first nobody."""
    size: Size | None = None
    """None for what the stacks have."""
    stage: str = API_STAGE
    """The API's stage, which the proxy finds before each path."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Image of each service, by its digest."""
    plugin_sha256: str = ""
    requirements_version: str = ""
    """Version of Airflow's requirements in the artifacts bucket."""
    startup_version: str = ""
    """Version of Airflow's startup script in the artifacts bucket."""
    overrides: Mapping[StackKind, Mapping[str, str]] = field(default_factory=dict)
    """Parameters that a person has set, by stack."""
    resets: Mapping[StackKind, frozenset[str]] = field(default_factory=dict)
    """Parameters that are to have their default again, by stack."""
