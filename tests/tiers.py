"""Runs the test tiers one after the other and ends each with one plain line: ``unit: 312 passed, 0 failed``.

Usage: .venv/bin/python tests/tiers.py [TIER ...]      (no TIER: all, in this order)

Exit code 0 when every check passed and every tier ran at least one test. A tier that runs no test has failed.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / ".cache" / "tests"
BIN = ROOT / ".venv" / "bin"
UNIT = ["packages", "services", "spark/tests", "deploy/aws/tests", "local/tests"]
DATABRICKS = ["packages", "spark/tests"]
AIRFLOW_BIN = ROOT / ".pipeline" / "tools" / "airflow" / "bin"

CHECKS = {
    "style": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "mypy")],
    "imports": [str(BIN / "lint-imports")],
}


def main(arguments: list[str]) -> int:
    """Run the tiers named, or all; returns the exit code."""
    tiers: dict[str, Callable[[], tuple[int, int]]] = {
        "lint": lint,
        "unit": lambda: pytest("unit", BIN, UNIT),
        "databricks": lambda: pytest("databricks", ROOT / ".venv-3.12" / "bin", DATABRICKS),
        "policy": lambda: pytest("policy", BIN, ["tests/policy"]),
        "integration": lambda: pytest("integration", BIN, ["tests/integration"]),
        "embedded": lambda: pytest("embedded", BIN, ["tests/e2e"]),
        "chaos": lambda: pytest("chaos", BIN, ["tests/chaos"]),
        "airflow": airflow,
    }
    unknown = set(arguments) - set(tiers)
    if unknown:
        sys.stderr.write(f"no tier {', '.join(sorted(unknown))}; there are: {', '.join(tiers)}\n")
        return 2
    lines = []
    failed = False
    for name in arguments or tiers:
        started = time.monotonic()
        good, bad = tiers[name]()
        failed = failed or bad > 0 or good == 0
        lines.append((f"{name}: {good} passed, {bad} failed", time.monotonic() - started))
        sys.stdout.write(f"{lines[-1][0]}\n")
        sys.stdout.flush()
    sys.stdout.write("\n" + "".join(f"{line:40} {seconds:6.0f} s\n" for line, seconds in lines))
    return 1 if failed else 0


def lint() -> tuple[int, int]:
    """Style, format, types and import rules; each counts as one."""
    codes = []
    # Unit tests of two folders may have one name, so that each folder is a check of its own.
    folders = sorted({file.parent for folder in UNIT for file in (ROOT / folder).rglob("test_*.py")})
    types = {f"types of {one.relative_to(ROOT)}": [str(BIN / "mypy"), str(one)] for one in folders}
    for title, command in (CHECKS | types).items():
        sys.stdout.write(f"== {title}\n")
        sys.stdout.flush()
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
    bad = sum(1 for code in codes if code)
    return len(codes) - bad, bad


def airflow() -> tuple[int, int]:
    """The DAGs in Airflow's own environment, then Airflow as a service."""
    parts = [pytest("dags", AIRFLOW_BIN, ["dags/tests"]), pytest("airflow", BIN, ["tests/airflow"])]
    return sum(good for good, _ in parts), sum(bad + (good == 0) for good, bad in parts)


def pytest(tier: str, environment: Path, folders: list[str]) -> tuple[int, int]:
    """Run pytest over folders; returns passed and failed (errors count as failed)."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = RESULTS / f"{tier}.xml"
    report.unlink(missing_ok=True)
    command = [str(environment / "python"), "-m", "pytest", "-q", "--durations=5", f"--junit-xml={report}", *folders]
    code = subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "PYTEST_TIER": tier}).returncode
    if not report.exists():
        return 0, 1
    suite = ET.parse(report).getroot().find("testsuite")
    if suite is None:
        return 0, 1
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return total - skipped - bad, max(bad, 1 if code not in {0, 1} else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
