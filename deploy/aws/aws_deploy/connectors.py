"""Puts the connectors' ``.properties`` files into the template of the connect stack.

The files are the same that ``services/s3-sink`` reads. Their placeholders become CloudFormation parameters.
"""

import hashlib
from pathlib import Path

type Node = str | int | float | bool | list[Node] | dict[str, Node] | None

_CONNECTOR = "Pipeline::Connector"
_WORKER = "Pipeline::Worker"
_PLACEHOLDERS = {
    "${PIPELINE_ID}": "${PipelineId}",
    "${AWS_REGION}": "${AWS::Region}",
    "${FLUSH_INTERVAL_MS}": "${FlushIntervalMs}",
}
_NAMED_BY_THE_TEMPLATE = {"name"}


def connectors_folder() -> Path:
    """Where the files lie: inside an installed package, else beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "connectors"
    return installed if installed.is_dir() else package.parent / "connectors"


def include_connectors(node: Node, folder: Path) -> Node:
    """The template with the settings of the files it names, wherever it names them.

    Raises:
        FileNotFoundError: it names a file that is not there.
        ValueError: a line of a file is no setting, or holds an unknown placeholder.
    """
    if isinstance(node, list):
        return [include_connectors(item, folder) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(named := node.get(_WORKER), str):
        return {"Fn::Sub": "".join(f"{key}={value}\n" for key, value in _settings(folder / named).items())}
    here = {key: include_connectors(value, folder) for key, value in node.items() if key != _CONNECTOR}
    if isinstance(named := node.get(_CONNECTOR), str):
        from_file = {k: v for k, v in _settings(folder / named).items() if k not in _NAMED_BY_THE_TEMPLATE}
        return {key: _with_parameters(value) for key, value in from_file.items()} | here
    return here


def _with_parameters(value: str) -> Node:
    return {"Fn::Sub": value} if "${" in value else value


def worker_name(pipeline_id: str, flush_interval_ms: str) -> str:
    """A name that changes with the worker's settings, which MSK Connect never changes in place."""
    settings = _settings(connectors_folder() / "worker.properties") | {"flush": flush_interval_ms}
    digest = hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:12]
    return f"{pipeline_id}-worker-{digest}"


def _settings(file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"{file.name}: not a setting: {line}")
        for ours, theirs in _PLACEHOLDERS.items():
            value = value.replace(ours, theirs)
        if value.count("${") != sum(value.count(theirs) for theirs in _PLACEHOLDERS.values()):
            raise ValueError(f"{file.name}: unknown placeholder in {line}")
        found[key.strip()] = value.strip()
    return found
