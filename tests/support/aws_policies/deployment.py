"""What the rules look at: every resource of a whole deployment, with parameters put in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aws_deploy.parameters import parameters
from aws_deploy.resolve import resolve
from aws_deploy.wanted import ALL, Size, StackKind
from rendered import EARLIER, SIGN_IN, wanted

Documents = dict[StackKind, Any]

_CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/1"
# All that can be chosen is chosen, so that the rules see it.
_CHOSEN = {
    "kafka": {"CreateClientHost": "yes", "ClientKeyPair": "mine"},
    "proxy": {"CertificateArn": _CERTIFICATE, "HostName": "proxy.example.com"},
    "popularity": {"CertificateArn": _CERTIFICATE, "HostName": "popular.example.com"},
    "dashboard": {**SIGN_IN, "PersonalGroup": "analysts"},
    "alarms": {"Email": "a@example.com", "MonthlyBudgetUsd": "100"},
    "databricks": {"DatabricksExternalId": "1-2-3"},
    "mwaa": {"RequirementsVersion": "1"},
}


@dataclass(frozen=True)
class Resource:
    """One resource with what is known put in."""

    name: str
    kind: str
    stack: StackKind
    properties: dict[str, Any]
    whole: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.stack}/{self.name}"


@dataclass(frozen=True)
class Deployment:
    """All stacks of one size."""

    documents: Documents
    size: Size = "prod"

    def of(self, *kinds: str) -> Iterator[Resource]:
        """Resources of these types."""
        return (resource for resource in self.all() if resource.kind in kinds)

    def all(self) -> Iterator[Resource]:
        """All resources that will be made."""
        asked = wanted(self.size, **_CHOSEN)
        for stack in ALL:
            values, _ = parameters(stack, asked, EARLIER, {})
            for name, resource in resolve(self.documents[stack], values).items():
                yield Resource(name, resource["Type"], stack, resource.get("Properties", {}), resource)


@dataclass(frozen=True)
class Rule:
    """One line of the list. ``check`` gives what offends; each of ``breaks`` makes a copy that must offend."""

    line: int
    title: str
    check: Callable[[Deployment], list[str]]
    breaks: dict[str, Callable[[Documents], None]] = field(default_factory=dict)


def properties(documents: Documents, stack: StackKind, name: str) -> dict[str, Any]:
    """Of one resource, to be broken."""
    found: dict[str, Any] = documents[stack]["Resources"][name]["Properties"]
    return found


def listed(value: Any) -> list[Any]:
    """One or many, as many."""
    return value if isinstance(value, list) else [value]


def statements(document: Any) -> list[dict[str, Any]]:
    """Of a policy document."""
    return listed(document["Statement"])
