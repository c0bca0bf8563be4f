"""What a user waits for and gives: set-up, the demo, memory, rest, a killed Kafka. Prints a table, writes JSON.

Usage: .venv/bin/python benchmarks/system.py [--cold] [--json FILE]

``--cold`` clones the checkout into a temporary folder and sets it up from nothing (about 1 GB of downloads).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from pipeline_local import descendants  # noqa: E402
from posts import SAMPLE  # noqa: E402
from stack import SHORT_LIVED, Stack, free_ports  # noqa: E402

REST_S = 20


def measured(command: list[str], cwd: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run a command: seconds, CPU seconds of it and its children, bytes received meanwhile by every interface."""
    before, received = resource.getrusage(resource.RUSAGE_CHILDREN), received_bytes()
    started = time.monotonic()
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu, "received_mb": (received_bytes() - received) / 1e6}


def received_bytes() -> int:
    """Bytes received by every interface but loopback."""
    files = Path("/sys/class/net").glob("*/statistics/rx_bytes")
    return sum(int(file.read_text()) for file in files if file.parts[4] != "lo")


def clean_environment(home: Path) -> dict[str, str]:
    """The machine's environment without this checkout's virtual environment."""
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    return {**environment, "PIPELINE_HOME": str(home), "PIP_NO_CACHE_DIR": "1", **free_ports()}


def demo(folder: Path, environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    """One `make demo`: what it took in all, and its own stages."""
    with tempfile.TemporaryDirectory() as reports:
        report = Path(reports) / "report.json"
        figures: dict[str, Any] = measured(["make", "demo", f"REPORT={report}", *arguments], folder, environment)
        figures["stages"] = json.loads(report.read_text())["seconds"]
    return figures


def installation() -> dict[str, dict[str, float]]:
    """What a whole one takes after 10,000 events went down both paths and were analysed, and when killed Kafka is back.

    Memory: PSS of every service. At rest: CPU seconds of all its processes in a second. Spark is that of `pipeline up`:
    tests and the demo have a short-lived one.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole = Stack(Path(folder) / "state", without="")
        whole.environment |= dict.fromkeys(SHORT_LIVED, "false")
        with whole as stack:
            stack.pipeline("send", "--path", "both", "--events", "10000")
            stack.pipeline("analyse")
            assert stack.audit()["ok"]
            services = stack.json("status")["services"]
            memory = {name: service["memory_bytes"] / 2**20 for name, service in services.items()}
            time.sleep(REST_S)  # streams are read less often by then
            before = cpu_seconds(stack)
            time.sleep(REST_S)
            rest = {"cores": (cpu_seconds(stack) - before) / REST_S}
            started = time.monotonic()
            stack.await_restarted("kafka", stack.kill("kafka"))
            back = {"seconds": time.monotonic() - started}
    return {"memory, MiB": memory | {"all": sum(memory.values())}, "at rest": rest, "Kafka killed": back}


def cpu_seconds(stack: Stack) -> float:
    """What every process of an installation has used so far."""
    times = [process.cpu_times() for process in descendants.of(f"{stack.home}/")]
    return sum(one.user + one.system for one in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cold", action="store_true", help="also set up a fresh clone from nothing")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    sample = [f"SOURCE={SAMPLE}"] if SAMPLE.exists() else ["EVENTS=4000"]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.cold:
            clone = Path(folder) / "clone"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
            environment = clean_environment(clone / ".pipeline" / "state")
            figures["make setup, cold"] = measured(["make", "setup"], clone, environment)
            figures["make demo, first"] = demo(clone, environment, *sample)
            figures["make setup, warm"] = measured(["make", "setup"], clone, environment)
            figures["make demo, warm"] = demo(clone, environment, *sample)
        else:
            environment = clean_environment(Path(folder) / "state")
            figures["make setup, warm"] = measured(["make", "setup"], ROOT, environment)
            figures["make demo, warm"] = demo(ROOT, environment, *sample)
    figures |= installation()
    for name, values in figures.items():
        print(name)
        for key, value in values.items():
            print(f"  {key:14} {value if isinstance(value, dict) else round(value, 1)}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
