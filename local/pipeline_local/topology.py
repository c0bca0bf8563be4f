"""Reads the topology from ``compose.yaml`` and puts loopback addresses in the place of service names.

Of each service it reads ``environment`` (a mapping), ``ports`` (one entry, published on loopback), ``depends_on``
and ``profiles``; values may hold ``${NAME}``. All else is for Docker, and so is a service of the profile
``containers`` as a whole. ``tests/policy`` keeps the file inside that subset.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_PORT = re.compile(r"127\.0\.0\.1:(\d+):(\d+)")
LOOPBACK = "127.0.0.1"
CONTAINERS_ONLY = "containers"
WITHOUT = "PIPELINE_WITHOUT"


class TopologyError(ValueError):
    """``compose.yaml`` or ``.env`` holds what the embedded runner does not understand."""


@dataclass(frozen=True)
class Service:
    """One service: its environment with loopback addresses, its published port, what must be ready before it.

    ``address`` is where this process reaches it, ``host:port``; None when it publishes no port.
    """

    name: str
    environment: dict[str, str]
    port: int | None
    port_setting: str | None
    waits_for: tuple[str, ...]
    is_job: bool
    address: str | None = None

    @property
    def url(self) -> str:
        """Its base URL.

        Raises:
            TopologyError: it publishes no port.
        """
        if self.address is None:
            raise TopologyError(f"{self.name} has no address ({self.port_setting})")
        return f"http://{self.address}"


@dataclass(frozen=True)
class Topology:
    """All services, in an order in which each comes after what it waits for."""

    services: dict[str, Service]

    @property
    def long_running(self) -> list[Service]:
        """What ``pipeline up`` starts."""
        return [service for service in self.services.values() if not service.is_job]

    def __getitem__(self, name: str) -> Service:
        return self.services[name]


def read_variables(env_file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``.env``; those of the shell win.

    Raises:
        TopologyError: a line is not ``NAME=value``.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(env_file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise TopologyError(f"{env_file.name}:{number}: expected NAME=value, found {line!r}")
        variables[name.strip()] = value.strip()
    return variables | {name: environment[name] for name in variables if environment.get(name)}


def read_topology(compose_file: Path, variables: Mapping[str, str]) -> Topology:
    """Read the services of a compose file.

    ``PIPELINE_WITHOUT`` names services to leave out, separated by commas.

    Raises:
        TopologyError: an unknown variable or service, a port that is not published on loopback, a service that
            waits for an unknown one, or a circle.
    """
    document = yaml.safe_load(compose_file.read_text(encoding="utf-8"))
    wanted = _wanted(document["services"], variables.get(WITHOUT, ""))
    raw = {name: service for name, service in wanted.items() if CONTAINERS_ONLY not in service.get("profiles", [])}
    ports = {name: _port(name, service, variables) for name, service in raw.items()}
    services = {}
    for name in _in_order(raw):
        service = raw[name]
        environment = {
            key: _on_loopback(_filled(f"{name}.{key}", str(value), variables), ports)
            for key, value in service.get("environment", {}).items()
        }
        port, setting = ports[name]
        address = None if port is None else f"{LOOPBACK}:{port}"
        waits_for = tuple(service.get("depends_on", {}))
        is_job = bool(service.get("profiles"))
        services[name] = Service(name, environment, port, setting, waits_for, is_job, address)
    return Topology(services)


def _wanted(services: dict[str, dict[str, Any]], without: str) -> dict[str, dict[str, Any]]:
    left_out = {name.strip() for name in without.split(",") if name.strip()}
    if unknown := left_out - services.keys():
        raise TopologyError(f"{WITHOUT} names {', '.join(sorted(unknown))}; there are {', '.join(services)}")
    wanted = {name: service for name, service in services.items() if name not in left_out}
    for name, service in wanted.items():
        if needed := left_out & service.get("depends_on", {}).keys():
            raise TopologyError(f"{WITHOUT} leaves out {', '.join(sorted(needed))}, which {name} waits for")
    return wanted


def _filled(where: str, text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise TopologyError(f"compose.yaml: {where} needs {match[1]}, which .env does not set")
        return variables[match[1]]

    return _VARIABLE.sub(value, text)


def _port(name: str, service: Mapping[str, Any], variables: Mapping[str, str]) -> tuple[int | None, str | None]:
    entries = service.get("ports", [])
    if not entries:
        return None, None
    setting = _VARIABLE.search(entries[0])
    match = _PORT.fullmatch(_filled(f"{name}.ports", entries[0], variables))
    if len(entries) > 1 or match is None or setting is None or not 0 < int(match[1]) < 65536:
        raise TopologyError(
            f"compose.yaml: {name}.ports must be one entry 127.0.0.1:${{SETTING}}:<port>, found {entries}; "
            "a port is a number from 1 to 65535"
        )
    return int(match[1]), setting[1]


def _on_loopback(value: str, ports: Mapping[str, tuple[int | None, str | None]]) -> str:
    def address(match: re.Match[str]) -> str:
        port = ports[match[1]][0]
        return match[0] if port is None else f"{LOOPBACK}:{port}"

    names = "|".join(re.escape(name) for name in ports)
    return re.sub(rf"(?<![\w.-])({names}):\d+\b", address, value)


def _in_order(services: Mapping[str, Mapping[str, Any]]) -> list[str]:
    ordered: list[str] = []
    left = dict(services)
    while left:
        free = [name for name, service in left.items() if set(service.get("depends_on", {})) <= set(ordered)]
        if not free:
            raise TopologyError(f"compose.yaml: these wait for each other or for unknown services: {sorted(left)}")
        ordered += free
        left = {name: service for name, service in left.items() if name not in free}
    return ordered
