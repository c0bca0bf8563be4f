"""Rules of compose.yaml and of Dockerfiles. Each gives a list of offences, empty when all is well."""

import re
from pathlib import Path
from typing import Any

import yaml

KEY_ORDER = [
    "<<", "profiles", "image", "build", "ports", "environment", "depends_on", "restart", "healthcheck", "mem_limit",
    "tmpfs", "volumes",
]  # fmt: skip
# Run commands and end; there is nothing to ask.
COMMANDS = {"cli"}
# Airflow is not ours, and has another page.
HEALTH = r"service_kit\.probe|pipeline_local\.airflow_health"
# Folders in which a service of ours keeps what its memory cannot hold.
SCRATCH = {"ANALYSER_STATE_DIR", "STREAM_READER_STATE_DIR", "PIPELINE_HOME"}
CONDITIONS = {"service_healthy", "service_completed_successfully"}
_INDEX = re.compile(r"--(index-url|extra-index-url|trusted-host|find-links|registry)|PIP_INDEX_URL")


def filled(text: str, variables: dict[str, str]) -> str:
    """Text with ``${NAME}`` replaced; unknown ones stay."""
    return re.sub(r"\$\{([A-Z_0-9]+)\}", lambda match: variables.get(match[1], match[0]), text)


def offences_of_compose(text: str, variables: dict[str, str], root: Path) -> list[str]:
    """What is wrong with a compose file whose build context is ``root``."""
    document = yaml.safe_load(filled(text, variables))
    found = [f"{name}: keys are not in order: {keys}" for name, keys in _keys(text) if keys != _ordered(keys)]
    volumes = set(document.get("volumes", {}))
    for name, service in document["services"].items():
        found += [f"{name}: {offence}" for offence in _offences_of_service(name, service, volumes, root)]
    return found


def _keys(text: str) -> list[tuple[str, list[str]]]:
    node = yaml.compose(text)
    assert node is not None
    services = next(value for key, value in node.value if key.value == "services")
    return [(key.value, [entry.value for entry, _ in value.value]) for key, value in services.value]


def _ordered(keys: list[str]) -> list[str]:
    return [key for key in KEY_ORDER if key in keys]


def _offences_of_service(name: str, service: dict[str, Any], volumes: set[str], root: Path) -> list[str]:
    dockerfile = root / service["build"]["dockerfile"] if "build" in service else None
    required = {
        "an image with a version": re.search(r":[^:/$]*\d[^:/$]*$", service.get("image", "")) is not None
        and "latest" not in service.get("image", ""),
        "mem_limit": "mem_limit" in service,
        "init": service.get("init") is True,
        "a restart policy": "restart" in service,
        "cap_drop: [ALL]": service.get("cap_drop") == ["ALL"],
        "no cap_add, privileged, host network or user": not {"cap_add", "privileged", "network_mode", "pid", "user"}
        & set(service),
        "pids_limit": isinstance(service.get("pids_limit"), int) and 0 < service["pids_limit"] <= 4096,
        "no-new-privileges": "no-new-privileges:true" in service.get("security_opt", []),
        "a limit on its log": "max-size" in service.get("logging", {}).get("options", {}),
        "a time to stop": "stop_grace_period" in service,
        "ports on loopback": all(port.startswith("127.0.0.1:") for port in service.get("ports", [])),
        "known conditions": all(wait.get("condition") in CONDITIONS for wait in service.get("depends_on", {}).values()),
        "named volumes alone": all(volume.split(":")[0] in volumes for volume in service.get("volumes", [])),
        "a Dockerfile that exists": dockerfile is None or dockerfile.is_file(),
        "a README beside its Dockerfile": dockerfile is None or (dockerfile.parent / "README.md").is_file(),
        "a health check": name in COMMANDS
        or "healthcheck" in service
        or (dockerfile is not None and dockerfile.is_file() and "\nHEALTHCHECK " in dockerfile.read_text()),
    }
    for setting in SCRATCH & service.get("environment", {}).keys():
        required["its scratch on a volume"] = _is_on_disk(service, f"{service['environment'][setting]}/scratch")
    if dockerfile is not None and name != "localstack":
        # LocalStack writes into its own folders.
        required["read_only"] = service.get("read_only") is True
    return [f"needs {rule}" for rule, holds in required.items() if not holds]


def _is_on_disk(service: dict[str, Any], folder: str) -> bool:
    writable = [volume.split(":")[1] for volume in service.get("volumes", []) if not volume.endswith(":ro")]
    in_memory = [entry.split(":")[0] for entry in service.get("tmpfs", [])]
    mounts = [at for at in (*writable, *in_memory) if Path(folder).is_relative_to(at)]
    return bool(mounts) and max(mounts, key=len) not in in_memory


def offences_of_dockerfile(text: str) -> list[str]:
    """What is wrong with a Dockerfile of ours."""
    lines = _joined(text)
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    named = {line.split()[3] for line in lines if re.match(r"FROM \S+ AS ", line)}
    outside = set(bases) - named
    last_user = [line.split()[1] for line in lines if line.startswith("USER ")]
    entry = [line for line in lines if line.startswith(("ENTRYPOINT ", "CMD "))]
    checks = [line for line in lines if line.startswith("HEALTHCHECK ")]
    installs = [line for line in lines if re.search(r"\bpip\b.* install ", line)]
    ours = outside == {"${PYTHON_IMAGE}"}
    required = {
        "two stages": len(bases) >= 2,
        "a base that .env pins": outside in ({"${PYTHON_IMAGE}"}, {"${LOCALSTACK_IMAGE}"})
        and not re.search(r"^ARG \w+_IMAGE=", text, re.MULTILINE),
        "no syntax line and no heredoc": "syntax=" not in text and "<<" not in text,
        "a user that is not root": bool(last_user) and last_user[-1] not in {"root", "0"},
        "hashed pins": all("--require-hashes" in line or "--no-index" in line for line in installs),
        "no package index of its own": not _INDEX.search(text),
        "no packages of the system": "apt-get" not in text and "apk add" not in text,
        "COPY and not ADD": not any(line.startswith("ADD ") for line in lines),
        "exec form": all(line.split(maxsplit=1)[1].startswith("[") for line in entry)
        and all(" CMD [" in line for line in checks),
        "an entry point": bool(entry) or not ours,
        "labels": {"title", "description", "version"} <= set(re.findall(r"opencontainers\.image\.(\w+)=", text)),
        "a health check on /readyz": not ours
        or not any(line.startswith("EXPOSE ") for line in lines)
        or (bool(checks) and all(re.search(HEALTH, line) for line in checks)),
        "no test or build tool in the last stage": not any(
            re.search(r"\b(pip|hatchling|npm|pytest)\b", line) for line in _last_stage(lines)
        ),
    }
    return [f"needs {rule}" for rule, holds in required.items() if not holds]


def wheel_stage(text: str) -> str | None:
    """The lines that build the project's wheel; None where a Dockerfile has none."""
    match = re.search(r"^FROM \S+ AS wheel\n.*?(?=^FROM )", text, re.MULTILINE | re.DOTALL)
    return match[0].strip() if match else None


def _joined(text: str) -> list[str]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [re.sub(r"\s+", " ", line).strip() for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def _last_stage(lines: list[str]) -> list[str]:
    return lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
