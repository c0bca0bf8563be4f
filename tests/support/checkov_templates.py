"""What checkov finds in the templates, beside the findings that stand for a reason.

Usage: .venv/bin/python tests/support/checkov_templates.py      (part of the tier ``lint``)

checkov sees each template as a deployment would be: conditions decided and parameters put in, for size ``prod`` with a
certificate. Exit code 1 for a finding without a reason below, and for a reason whose finding is gone.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aws_deploy.resolve import resolve
from aws_deploy.stacks import build
from aws_deploy.wanted import ALL
from pipeline_local.layout import Layout
from rendered import EARLIER, optional, wanted

CERTIFICATE: Final = "arn:aws:acm:us-east-1:000000000000:certificate/1"
DEADLINE_S: Final = 300

type Finding = tuple[str, str]
"""Check's id; stack and logical id."""

REASONS: Final[Mapping[Finding, str]] = {
    ("CKV_AWS_18", "data.AccessLogBucket"): "it takes the access logs; logging its own would never end",
    ("CKV_AWS_120", "api.ApiStage"): "every request stores events; an answer from a cache would lose one",
    ("CKV_AWS_91", "proxy.LoadBalancer"): "internal, behind the gateway, which logs each request; its logs need a "
    "bucket without our key (ELB writes to SSE-S3 only)",
}


def documents() -> dict[str, Any]:
    """Each stack's resources, as they would be made."""
    secured = {"CertificateArn": CERTIFICATE, "HostName": "proxy.example.com"}
    parameters = wanted("prod", proxy=secured, popularity=secured, **optional(*ALL))
    found: dict[str, Any] = {}
    for kind in ALL:
        stack = build(kind, parameters, EARLIER)
        resources = resolve(json.loads(stack.body), stack.parameters)
        found[kind] = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
    return found


def scan(checkov: Path, stacks: Mapping[str, Any]) -> Iterator[Finding]:
    """Run checkov on these; what failed.

    Raises:
        RuntimeError: it did not run, or could not read one.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, document in stacks.items():
            (Path(folder) / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        command = [
            str(checkov),
            "--directory",
            folder,
            "--framework",
            "cloudformation",
            "--compact",
            "--output",
            "json",
        ]
        done = subprocess.run(
            [*command, "--skip-download", "--soft-fail"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": folder, "LOG_LEVEL": "ERROR"},
        )
    if done.returncode:
        raise RuntimeError(f"checkov ended with {done.returncode}: {done.stderr[-2000:]}")
    report = json.loads(done.stdout)
    if report["summary"]["parsing_errors"] or report["summary"]["passed"] == 0:
        raise RuntimeError(f"checkov could not read all: {report['summary']}")
    for check in report["results"]["failed_checks"]:
        yield check["check_id"], f"{Path(check['file_path']).stem}.{check['resource'].rpartition('.')[2]}"


def differences(found: set[Finding], reasons: Mapping[Finding, str]) -> list[str]:
    """A line for each finding without a reason and each reason without a finding."""
    return [
        *(f"{check} {place}: fix it, or give a reason in {Path(__file__).name}" for check, place in found - {*reasons}),
        *(f"{check} {place}: is not found any more; take its reason out" for check, place in {*reasons} - found),
    ]


def main() -> int:
    """Compare; returns the exit code."""
    stacks = documents()
    found = set(scan(Layout.of_checkout().checkov_venv / "bin" / "checkov", stacks))
    wrong = differences(found, REASONS)
    for line in sorted(wrong):
        sys.stdout.write(f"{line}\n")
    if not wrong:
        sys.stdout.write(f"checkov: {len(stacks)} templates, {len(REASONS)} findings that stand for a reason\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
