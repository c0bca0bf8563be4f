"""The Docker engine and our images, for tests: one build per run, and services as ``compose.yaml`` describes them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

import yaml
from container_rules import filled
from pipeline_local.topology import read_variables

ROOT = Path(__file__).parents[2]
BUILD_DEADLINE_S = 1800
_GIB = {"m": 2**20, "g": 2**30}


def answers() -> bool:
    """Whether an engine with Compose answers on this machine."""
    if shutil.which("docker") is None:
        return False
    commands = (["docker", "version"], ["docker", "compose", "version"])
    try:
        return all(
            subprocess.run(one, capture_output=True, check=False, timeout=30).returncode == 0 for one in commands
        )
    except subprocess.TimeoutExpired:
        return False


def compose(
    *arguments: str, environment: dict[str, str], check: bool = True, profiles: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run ``docker compose`` on this checkout's file to its end; on an unwanted exit code, fail with all it said.

    ``profiles`` takes in the services of every profile.
    """
    done = subprocess.run(
        ["docker", "compose", *(["--profile", "*"] if profiles else []), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_DEADLINE_S,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode:
        raise AssertionError(f"docker compose {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def start(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Run ``docker compose`` beside the test."""
    return subprocess.Popen(
        ["docker", "compose", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def build() -> None:
    """Build every image of compose.yaml; some seconds when nothing changed, minutes on an empty engine."""
    compose("build", "--quiet", environment={})


def remove_containers(project: str) -> None:
    """Kill and remove every container of a Compose project."""
    label = f"label=com.docker.compose.project={project}"
    found = subprocess.run(["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True)
    if numbers := found.stdout.split():
        subprocess.run(["docker", "rm", "-fv", *numbers], capture_output=True, check=False)


def left_of(project: str) -> list[str]:
    """Volumes, networks and containers of a Compose project that are still there."""
    label = f"label=com.docker.compose.project={project}"
    listings = (["volume", "ls", "-q"], ["network", "ls", "-q"], ["ps", "-aq"])
    done = [
        subprocess.run(["docker", *one, "--filter", label], capture_output=True, text=True, check=True)
        for one in listings
    ]
    return [name for one in done for name in one.stdout.split()]


def inspected(*containers: str) -> list[dict[str, Any]]:
    """What Docker knows of these containers."""
    if not containers:
        return []
    done = subprocess.run(["docker", "inspect", *containers], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def harmed(containers: Iterable[dict[str, Any]], restarted: Set[str]) -> list[str]:
    """Which inspected containers were out of memory, or were started again by Docker without being in ``restarted``."""
    found = []
    for container in containers:
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        if container["State"]["OOMKilled"]:
            found.append(f"{service} was out of memory")
        if container["RestartCount"] and service not in restarted:
            found.append(f"{service} died, and was started again {container['RestartCount']} times")
    return found


def described(name: str, variables: dict[str, str]) -> dict[str, Any]:
    """One service of compose.yaml, with these variables over those of .env."""
    known = read_variables(ROOT / ".env", {}) | variables
    document = yaml.safe_load(filled((ROOT / "compose.yaml").read_text(), known))
    service: dict[str, Any] = document["services"][name]
    return service


def as_options(service: dict[str, Any]) -> dict[str, Any]:
    """What a service says of its container, in the words of the Docker client, so that tests run it as locked up."""
    options: dict[str, Any] = {
        "cap_drop": service["cap_drop"],
        "security_opt": service["security_opt"],
        "init": service["init"],
        "pids_limit": service["pids_limit"],
        "mem_limit": int(service["mem_limit"][:-1]) * _GIB[service["mem_limit"][-1]],
        "read_only": service.get("read_only", False),
        "tmpfs": dict(entry.split(":", 1) for entry in service.get("tmpfs", [])),
    }
    if "healthcheck" in service:
        options["healthcheck"] = {"test": service["healthcheck"]["test"], "interval": 2_000_000_000}
    return options
