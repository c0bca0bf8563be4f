"""Images and containers: sizes, build seconds, start seconds, memory. Prints tables, writes JSON. Needs Docker.

Spark is that of `docker compose up`: tests and the demo have a short-lived one.

Usage: .venv/bin/python benchmarks/containers.py [--cold] [--json FILE]

``--cold`` also builds every image with no layer kept (Docker keeps the downloads of earlier builds; on a new engine the
first build has none, and takes longer by as much as the network needs).
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import engine  # noqa: E402
from compose_stack import ComposeStack  # noqa: E402
from pipeline_local.topology import read_variables  # noqa: E402
from stack import SHORT_LIVED  # noqa: E402

EVENTS = 10_000
_UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def seconds_to_build(*options: str) -> float:
    """Build all images of compose.yaml."""
    started = time.monotonic()
    engine.compose("build", "--quiet", *options, environment={})
    return time.monotonic() - started


def sizes() -> dict[str, float]:
    """MB of each image of compose.yaml over the base that it is built on; of the foreign ones, as they are."""
    variables = read_variables(ROOT / ".env", {})
    services = json.loads(engine.compose("config", "--format", "json", environment={}).stdout)["services"]
    bases = {"localstack": variables["LOCALSTACK_IMAGE"]}
    figures = {}
    for name, service in services.items():
        base = bases.get(name, variables["PYTHON_IMAGE"]) if "build" in service else None
        figures[name] = (image_size(service["image"]) - (image_size(base) if base else 0)) / 1e6
    return figures


def image_size(image: str) -> int:
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", image], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def memory(stack: ComposeStack) -> dict[str, float]:
    """MiB of each container now, as Docker counts it."""
    numbers = stack.compose("ps", "--quiet").stdout.split()
    form = '{"name": "{{.Name}}", "memory": "{{.MemUsage}}"}'
    done = subprocess.run(
        ["docker", "stats", "--no-stream", "--format", form, *numbers], capture_output=True, text=True, check=True
    )
    project = stack.environment["COMPOSE_PROJECT_NAME"]
    figures = {}
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        used = entry["memory"].split(" / ")[0]
        unit = next(unit for unit in sorted(_UNITS, key=len, reverse=True) if used.endswith(unit))
        name = entry["name"].removeprefix(f"{project}-").removesuffix("-1")
        figures[name] = float(used.removesuffix(unit)) * _UNITS[unit] / 2**20
    return figures | {"all": sum(figures.values())}


def timed(what: Any, *arguments: str) -> float:
    started = time.monotonic()
    what(*arguments)
    return time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cold", action="store_true", help="also build with no layer kept")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    if not engine.answers():
        print("no Docker engine answers: nothing is measured")
        return 0
    figures: dict[str, Any] = {"build, s": {}}
    if options.cold:
        figures["build, s"]["no layer kept"] = seconds_to_build("--no-cache")
    seconds_to_build()
    figures["build, s"]["nothing changed"] = seconds_to_build()
    figures["size over the base, MB"] = sizes()
    stack = ComposeStack()
    stack.environment |= dict.fromkeys(SHORT_LIVED, "false")
    started = time.monotonic()
    with stack:
        steps = {"up, healthy, on new volumes": time.monotonic() - started}
        steps[f"send {EVENTS:,} events down both paths"] = timed(
            stack.pipeline, "send", "--events", str(EVENTS), "--path", "both"
        )
        steps["analyse"] = timed(stack.pipeline, "analyse")
        steps["audit"] = timed(stack.pipeline, "audit")
        figures["memory, MiB"] = memory(stack)
        steps["down"] = timed(stack.down)
        steps["up, healthy, again"] = timed(stack.up)
    figures["steps, s"] = steps
    for title, values in figures.items():
        print(title)
        for name, value in values.items():
            print(f"  {name:36} {value:8.1f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
