"""LocalStack with the plug-in of ``tests/localstack_plugin``: it has every type that our templates name."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import confluent_kafka
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]
from pipeline_local.command import Command
from servers import LocalStack

PLUGIN = Path(__file__).parents[1] / "localstack_plugin"
sys.path.insert(0, str(PLUGIN))
from localstack_stand_in.kinds import KINDS, attribute  # noqa: E402 (lies beside, in LocalStack's world)

_GROUP = "localstack.cloudformation.resource_providers"
_HOOKS = "[localstack.hooks.on_infra_start]\nas_strict_as_aws = localstack_stand_in.as_aws:as_strict_as_aws"


class FullLocalStack(LocalStack):
    """``kafka`` and ``proxy`` are where MSK's clients and the load balancer's are sent."""

    def __init__(self, folder: Path, *, kafka: str = "", proxy: str = "") -> None:
        super().__init__(folder)
        self._kafka, self._proxy = kafka, proxy
        self._control = folder / "control.json"

    def control(self, *, fail: dict[str, str] | None = None, delay_s: dict[str, float] | None = None) -> None:
        """Make types fail, or take their time; without arguments: none."""
        self._control.write_text(json.dumps({"fail": fail or {}, "delay_s": delay_s or {}}))

    def command(self) -> Command:
        """As usual, with the plug-in on the path."""
        usual = super().command()
        plugin = self.folder / "plugin"
        _install(plugin)
        env = {
            **usual.env,
            "PYTHONPATH": f"{plugin}:{PLUGIN}",
            "STAND_IN_SCHEMAS": str(plugin / "schemas"),
            "STAND_IN_CONTROL": str(self._control),
        }
        env |= {"STAND_IN_KAFKA": self._kafka} if self._kafka else {}
        env |= {"STAND_IN_PROXY": self._proxy} if self._proxy else {}
        return Command(usual.argv, env, usual.cwd)


def _install(folder: Path) -> None:
    """Schemas, entry points, and the Kafka client, which LocalStack's own environment lacks."""
    schemas = folder / "schemas"
    schemas.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        (schemas / f"{kind.replace('::', '-').lower()}.json").write_text(json.dumps(_pythonic(schema)))
    metadata = folder / "localstack_stand_in-0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: localstack-stand-in\nVersion: 0\n")
    lines = [f"{kind} = localstack_stand_in.plugins:{attribute(kind)}" for kind in KINDS]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{_GROUP}]", *lines, _HOOKS, ""]))
    client = Path(confluent_kafka.__file__).parent
    for part in client.parent.glob("confluent_kafka*"):
        link = folder / part.name
        if not link.is_symlink() and not part.name.endswith(".dist-info"):
            link.symlink_to(part)


def _pythonic(node: Any) -> Any:
    """A schema without the patterns that are Java's alone, such as ``\\p{L}``."""
    if isinstance(node, list):
        return [_pythonic(item) for item in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "pattern" and isinstance(value, str) and not _compiles(value):
            continue
        if key == "patternProperties":
            found[key] = {name if _compiles(name) else ".*": _pythonic(rule) for name, rule in value.items()}
        else:
            found[key] = _pythonic(value)
    return found


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
