"""Runs the test tiers and ends each with one plain line: ``unit: 312 passed, 0 failed``.

A tier that takes longer than its budget (``tests/support/budgets.py``) has failed, and its line says so.

Usage: .venv/bin/python tests/tiers.py [--batch] [TIER ...]     (no TIER: those that need nothing but set-up)

With --batch, tests are left out that are of the stream path, the deployment to AWS or Airflow alone (``NOT_BATCH``).

The tier ``browser`` is added where there is a Chromium, and ``docker`` where a Docker engine answers; where there is
none, a line says so; with CHROMIUM_REQUIRED=1 and DOCKER_REQUIRED=1 they have failed. DOCKER_LOG names the log of what
makes an engine meanwhile: that tier waits for its last line, "ended with 0". Exit code 0 when every check passed and
every tier ran at least one test: a tier without a test has failed.
Skipped tests are counted, with why, below the closing lines; with SKIPS_ALLOWED (words, separated by commas; it may be
empty) a test has failed that was skipped for a reason without any of the words.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import budgets  # noqa: E402  # the tests' own
import chromium  # noqa: E402
import engine  # noqa: E402

RESULTS = ROOT / ".cache" / "tests"
BIN = ROOT / ".venv" / "bin"
UNIT = ["packages", "services", "spark/tests", "deploy/aws/tests", "local/tests"]
# Beside the pins of its runtime nothing of ours may be needed: docs/adr/0019 says what does not go there, and why.
DATABRICKS = [
    *("packages", "spark/tests", "tests/databricks"),
    "--confcutdir=tests/databricks",  # tests/conftest.py starts servers, whose clients are not there
    "--ignore=packages/spark_kit/tests/test_jvm.py",  # the platform starts its own JVM
    "--ignore=packages/kinesis_source",  # the platform has a source of its own; ours needs Spark 4.2
]
MWAA_BIN = ROOT / ".venv-3.12-mwaa" / "bin"

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
    "checkov": [str(BIN / "python"), "tests/support/checkov_templates.py"],
}
# Two processes share the files of the tier that waits for servers more than it computes. More would make tests late
# on two cores; and of unit tests, schemathesis gives one name to many.
TWO_WORKERS = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
BESIDE = {"unit": ("lint", "policy", "databricks"), "embedded": ("chaos", "readme"), "airflow": ("fuzz",)}
"""Tiers of one process: one, and those that are run at the same time, one after the other, where they are asked for."""
ENGINE_DEADLINE_S = 900
BY_DEFAULT = ("lint", "policy", "unit", "databricks", "integration", "embedded", "airflow", "fuzz", "chaos", "readme")
BATCH = tuple(tier for tier in BY_DEFAULT if tier not in {"airflow", "fuzz"})
# What is of both paths stays: gateway, emitter, templates, runner, and all that the README says.
NOT_BATCH = [
    *("packages/kinesis_source", "services/stream-reader", "tests/policy/test_aws_policies.py"),
    *("services/emitter/tests/test_stream_ids.py", "services/emitter/tests/test_stream_path.py"),
    *(f"local/tests/test_{name}.py" for name in ("airflow", "airflow_client", "airflow_health")),
    *(f"local/tests/test_{name}.py" for name in ("reader_client", "stream_stage")),
    *(f"tests/integration/test_{name}.py" for name in ("stream_reader", "kinesis_source", "popularity_service")),
    *(
        f"tests/integration/test_{name}.py"
        for name in ("gateway_kinesis", "audit_streams", "stream_damage", "stream_damage_process")
    ),
    "tests/databricks/test_notebooks.py",
    *(f"tests/integration/test_{name}.py" for name in ("aws_stacks", "proxy_login", "wheel", "audit_stream_fates")),
]

_left_out: list[str] = []
"""Files and folders whose tests are not run."""
_output: ContextVar[TextIO | None] = ContextVar("output", default=None)
"""Where the tier of this thread prints; None: to the screen."""


class Counts(NamedTuple):
    """What became of tests; one that may not be skipped and was has failed."""

    passed: int
    failed: int
    skipped: int = 0


@dataclass(frozen=True)
class Outcome:
    """What one tier did."""

    tier: str
    counts: Counts
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it ran, nothing failed, and it kept to its budget."""
        return self.counts.passed > 0 and self.counts.failed == 0 and budgets.over(self.tier, self.seconds) is None

    @property
    def line(self) -> str:
        """The closing line."""
        passed, failed, skipped = self.counts
        late = budgets.over(self.tier, self.seconds)
        told = [
            f"{passed} passed",
            f"{failed} failed",
            *([f"{skipped} skipped"] if skipped else []),
            *([late] if late else []),
        ]
        return f"{self.tier}: {', '.join(told)}"


def main(arguments: list[str]) -> int:
    """Run the tiers named, or all; returns the exit code."""
    batch = arguments[:1] == ["--batch"]
    if batch:
        arguments = arguments[1:] or list(BATCH)
        _left_out.extend(NOT_BATCH)
    if unknown := set(arguments) - set(TIERS):
        sys.stderr.write(f"no tier {', '.join(sorted(unknown))}; there are: {', '.join(TIERS)}\n")
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with_docker = os.environ.get("DOCKER_REQUIRED") == "1" or engine.answers()
    able = {"browser": chromium.is_required() or chromium.program() is not None, "docker": with_docker}
    chosen = arguments or [*BY_DEFAULT, *(tier for tier, can in able.items() if can)]
    reasons = {"browser": f"no Chromium ({chromium.HOW})", "docker": "no Docker engine answers"}
    not_run = [f"{tier}: not run, {reason}\n" for tier, reason in reasons.items() if not able[tier]]
    left_out = "" if arguments else "".join(not_run)
    say(left_out)
    outcomes = run_all(chosen)
    say(failures(chosen))
    summary = "".join(f"{outcome.line:40} {outcome.seconds:6.0f} s\n" for outcome in outcomes)
    say(f"\n{summary}{left_out}{'all of it':40} {time.monotonic() - started:6.0f} s\n")
    return 0 if all(outcome.good for outcome in outcomes) else 1


def failures(tiers: Sequence[str]) -> str:
    """Every test that failed, with the first line of why, and why tests were skipped; nobody has to look for it."""
    lines = []
    for name in (name for tier in tiers for name in (("dags", tier) if tier == "airflow" else (tier,))):
        report = RESULTS / f"{name}.xml"
        for case in ET.parse(report).iter("testcase") if report.exists() else []:
            for bad in (*case.findall("failure"), *case.findall("error")):
                lines.append(f"{name}: {case.get('classname')}::{case.get('name')}: {why(bad)}\n")
        for reason, number in Counter(skips(report)).items():
            lines.append(f"{name}: {number} skipped{'' if may_be_skipped(reason) else ', which fails'}: {reason}\n")
    return "\n" + "".join(lines) if lines else ""


def skips(report: Path) -> Iterator[str]:
    """Why each test of a report was skipped that was."""
    for case in ET.parse(report).iter("testcase") if report.exists() else []:
        yield from (why(skipped) for skipped in case.findall("skipped"))


def may_be_skipped(reason: str) -> bool:
    """Whether a test may be skipped for this reason."""
    allowed = os.environ.get("SKIPS_ALLOWED")
    return allowed is None or any(word in reason for word in allowed.split(",") if word)


def why(found: ET.Element) -> str:
    """What pytest says of a failure or skip, as one line."""
    return " ".join(found.get("message", "").split())[:400]


def run_all(chosen: Sequence[str]) -> list[Outcome]:
    """Run the tiers in order, and beside each those of ``BESIDE``, whose output comes when all are through."""
    outcomes: dict[str, Outcome] = {}
    beside = {tier: [other for other in BESIDE.get(tier, ()) if other in chosen] for tier in chosen}
    with ThreadPoolExecutor(1) as pool:
        for tier in (tier for tier in chosen if not any(tier in others for others in beside.values())):
            logs = {other: RESULTS / f"{other}.log" for other in beside[tier]}
            running = {other: pool.submit(run_into, log, other) for other, log in logs.items()}
            outcomes[tier] = run(tier)
            for other, log in logs.items():
                outcomes[other] = running[other].result()
                say(log.read_text(errors="replace"))
    return [outcomes[tier] for tier in chosen]


def run_into(log: Path, tier: str) -> Outcome:
    """Run one tier with all that is printed in a file; for a thread of its own."""
    with log.open("w") as file:
        _output.set(file)
        return run(tier)


def run(tier: str) -> Outcome:
    """Run one tier; its time begins when what it waits for is there."""
    (RESULTS / f"{tier}.xml").unlink(missing_ok=True)
    log = os.environ.get("DOCKER_LOG") if tier == "docker" else None
    if log and not engine_made(ROOT / log):
        say(f"{Outcome(tier, Counts(0, 1), 0).line}\n")
        return Outcome(tier, Counts(0, 1), 0)
    started = time.monotonic()
    outcome = Outcome(tier, TIERS[tier](), time.monotonic() - started)
    say(f"{outcome.line}\n")
    return outcome


def say(text: str) -> None:
    """Print at once, in order with what the commands print."""
    output = _output.get() or sys.stdout
    output.write(text)
    output.flush()


def execute(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run one command in the checkout; its exit code."""
    output = _output.get()
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=output,
        stderr=output,
        check=False,
    ).returncode


def lint() -> Counts:
    """Style, format, types and import rules; each counts as one."""
    # Unit tests of two folders may have one name, so that each folder is a check of its own.
    folders = sorted({file.parent for folder in UNIT for file in (ROOT / folder).rglob("test_*.py")})
    types = {f"types of {one.relative_to(ROOT)}": [str(BIN / "mypy"), str(one)] for one in folders}
    bad = 0
    for title, command in (CHECKS | types).items():
        say(f"== {title}\n")
        bad += execute(command) != 0
    return Counts(len(CHECKS | types) - bad, bad)


def airflow() -> Counts:
    """The DAGs with Airflow on MWAA's Python, then Airflow as a service on the laptop's."""
    parts = [pytest("dags", MWAA_BIN, ["dags/tests"]), pytest("airflow", BIN, ["tests/airflow"])]
    done = [part() for part in parts]
    failed = sum(one.failed + (one.passed == 0) for one in done)
    return Counts(sum(one.passed for one in done), failed, sum(one.skipped for one in done))


def engine_made(log: Path) -> bool:
    """Block until the log of what makes the engine has its last line, and print it; whether all went well."""
    deadline = time.monotonic() + ENGINE_DEADLINE_S
    while True:
        said = log.read_text(errors="replace") if log.exists() else ""
        last = said.rstrip().rpartition("\n")[2]
        if last.startswith("ended with ") or time.monotonic() > deadline:
            break
        time.sleep(1)
    say(f"== {log.relative_to(ROOT)}\n{said}")
    if not last.startswith("ended with "):
        say(f"no Docker engine after {ENGINE_DEADLINE_S} s of waiting\n")
    return last.split()[:3] == ["ended", "with", "0"]


def pytest(tier: str, environment: Path, folders: list[str], options: Sequence[str] = ()) -> Callable[[], Counts]:
    """A tier of pytest over folders (errors count as failed)."""

    def tests() -> Counts:
        report = RESULTS / f"{tier}.xml"
        report.unlink(missing_ok=True)
        command = [str(environment / "python"), "-m", "pytest", "-q", "--durations=5", f"--junit-xml={report}"]
        ignored = [f"--ignore={path}" for path in _left_out]
        code = execute([*command, *options, *ignored, *folders], {"TEST_LANE": "beside" if _output.get() else "main"})
        return counted(report, code)

    return tests


def counted(report: Path, code: int) -> Counts:
    """What a report of pytest, and its exit code, say."""
    suite = ET.parse(report).getroot().find("testsuite") if report.exists() else None
    if suite is None:
        return Counts(0, 1)
    total, reasons = int(suite.get("tests", 0)), list(skips(report))
    bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    allowed = sum(map(may_be_skipped, reasons))
    failed = max(bad, 1 if code not in {0, 1} else 0) + len(reasons) - allowed
    return Counts(total - len(reasons) - bad, failed, allowed)


TIERS: dict[str, Callable[[], Counts]] = {
    "lint": lint,
    "policy": pytest("policy", BIN, ["tests/policy"]),
    "unit": pytest("unit", BIN, UNIT),
    "databricks": pytest("databricks", ROOT / ".venv-3.12" / "bin", DATABRICKS),
    "integration": pytest("integration", BIN, ["tests/integration"], TWO_WORKERS),
    "embedded": pytest("embedded", BIN, ["tests/e2e"]),
    "chaos": pytest("chaos", BIN, ["tests/chaos"]),
    "readme": pytest("readme", BIN, ["tests/readme"]),
    "airflow": airflow,
    "fuzz": pytest("fuzz", BIN, ["tests/fuzz"]),
    "browser": pytest("browser", BIN, ["tests/browser"]),
    "docker": pytest("docker", BIN, ["tests/docker"]),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
