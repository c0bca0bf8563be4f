"""Runs the test tiers and ends each with one plain line: ``unit: 312 passed, 0 failed``.

Usage: .venv/bin/python tests/tiers.py [TIER ...]      (no TIER: all)

Tiers that are named run one after the other and print as they go. Without names, two lanes of tiers run side by
side, since the tiers of the second mostly wait for services to start and stop; what a tier prints is then held back
until it ends. After them, alone, the tier ``docker``: where no Docker engine answers it is left out, with a line that
says so; with DOCKER_REQUIRED=1 it has failed. Exit code 0 when every check passed and every tier ran at least one
test: a tier without a test has failed.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import engine  # noqa: E402  # the tests' own

RESULTS = ROOT / ".cache" / "tests"
BIN = ROOT / ".venv" / "bin"
UNIT = ["packages", "services", "spark/tests", "deploy/aws/tests", "local/tests"]
DATABRICKS = ["packages", "spark/tests"]
AIRFLOW_BIN = ROOT / ".pipeline" / "tools" / "airflow" / "bin"

DOCKERFILES = ["services/*/Dockerfile", "spark/Dockerfile", "deploy/*/Dockerfile", "local/**/Dockerfile"]

CHECKS = {
    "style": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "mypy")],
    "imports": [str(BIN / "lint-imports")],
    "dockerfiles": [
        str(BIN / "hadolint"),
        *("--config", ".hadolint.yaml"),
        *sorted(str(file.relative_to(ROOT)) for pattern in DOCKERFILES for file in ROOT.glob(pattern)),
    ],
}
LANES = (("lint", "policy", "unit", "integration", "databricks"), ("embedded", "chaos", "airflow"))

Output = IO[str] | None
"""Where a tier's commands print; None: where this program does."""


@dataclass(frozen=True)
class Outcome:
    """What one tier did."""

    tier: str
    passed: int
    failed: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it ran and nothing failed."""
        return self.passed > 0 and self.failed == 0

    @property
    def line(self) -> str:
        """The closing line."""
        return f"{self.tier}: {self.passed} passed, {self.failed} failed"


def main(arguments: list[str]) -> int:
    """Run the tiers named, or all; returns the exit code."""
    if unknown := set(arguments) - set(TIERS):
        sys.stderr.write(f"no tier {', '.join(sorted(unknown))}; there are: {', '.join(TIERS)}\n")
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if arguments:
        outcomes = [run(tier, None) for tier in arguments]
    else:
        with ThreadPoolExecutor(len(LANES)) as lanes:
            outcomes = [outcome for done in lanes.map(run_held_back, LANES) for outcome in done]
        if os.environ.get("DOCKER_REQUIRED") == "1" or engine.answers():
            outcomes.append(run("docker", None))
        else:
            say("docker: not run, no Docker engine answers\n")
    summary = "".join(f"{outcome.line:40} {outcome.seconds:6.0f} s\n" for outcome in outcomes)
    say(f"\n{summary}{'all of it':40} {time.monotonic() - started:6.0f} s\n")
    return 0 if all(outcome.good for outcome in outcomes) else 1


def run_held_back(tiers: Sequence[str]) -> list[Outcome]:
    """Run tiers one after the other; print what each had to say when it has ended."""
    outcomes = []
    for tier in tiers:
        log = RESULTS / f"{tier}.log"
        with log.open("w", encoding="utf-8") as output:
            outcome = run(tier, output)
        outcomes.append(outcome)
        say(f"{log.read_text(encoding='utf-8', errors='replace')}{outcome.line}\n")
    return outcomes


def run(tier: str, output: Output) -> Outcome:
    """Run one tier."""
    started = time.monotonic()
    passed, failed = TIERS[tier](output)
    outcome = Outcome(tier, passed, failed, time.monotonic() - started)
    if output is None:
        say(f"{outcome.line}\n")
    return outcome


def say(text: str) -> None:
    """Print at once and in one piece, so that two lanes do not mix."""
    sys.stdout.write(text)
    sys.stdout.flush()


def execute(argv: Sequence[str], output: Output, environment: Mapping[str, str] | None = None) -> int:
    """Run one command in the checkout; its exit code."""
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(
        argv, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT if output else None, check=False
    ).returncode


def lint(output: Output) -> tuple[int, int]:
    """Style, format, types and import rules; each counts as one."""
    # Unit tests of two folders may have one name, so that each folder is a check of its own.
    folders = sorted({file.parent for folder in UNIT for file in (ROOT / folder).rglob("test_*.py")})
    types = {f"types of {one.relative_to(ROOT)}": [str(BIN / "mypy"), str(one)] for one in folders}
    bad = 0
    for title, command in (CHECKS | types).items():
        execute(["echo", f"== {title}"], output)
        bad += execute(command, output) != 0
    return len(CHECKS | types) - bad, bad


def airflow(output: Output) -> tuple[int, int]:
    """The DAGs in Airflow's own environment, then Airflow as a service."""
    parts = [pytest("dags", AIRFLOW_BIN, ["dags/tests"]), pytest("airflow", BIN, ["tests/airflow"])]
    done = [part(output) for part in parts]
    return sum(good for good, _ in done), sum(bad + (good == 0) for good, bad in done)


def pytest(tier: str, environment: Path, folders: list[str]) -> Callable[[Output], tuple[int, int]]:
    """A tier of pytest over folders: passed and failed (errors count as failed)."""

    def tests(output: Output) -> tuple[int, int]:
        report = RESULTS / f"{tier}.xml"
        report.unlink(missing_ok=True)
        command = [str(environment / "python"), "-m", "pytest", "-q", "--durations=5", f"--junit-xml={report}"]
        code = execute([*command, *folders], output, {"PYTEST_TIER": tier})
        suite = ET.parse(report).getroot().find("testsuite") if report.exists() else None
        if suite is None:
            return 0, 1
        total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        return total - skipped - bad, max(bad, 1 if code not in {0, 1} else 0)

    return tests


TIERS: dict[str, Callable[[Output], tuple[int, int]]] = {
    "lint": lint,
    "policy": pytest("policy", BIN, ["tests/policy"]),
    "unit": pytest("unit", BIN, UNIT),
    "databricks": pytest("databricks", ROOT / ".venv-3.12" / "bin", DATABRICKS),
    "integration": pytest("integration", BIN, ["tests/integration"]),
    "embedded": pytest("embedded", BIN, ["tests/e2e"]),
    "chaos": pytest("chaos", BIN, ["tests/chaos"]),
    "airflow": airflow,
    "docker": pytest("docker", BIN, ["tests/docker"]),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
