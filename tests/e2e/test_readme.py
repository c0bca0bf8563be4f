"""Every command that the README shows, as it stands there."""

import json
import os
import re
import subprocess
from pathlib import Path

from stack import PIPELINE, ROOT, Stack, free_ports

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
NOT_HERE = {
    "make test": "this is it",
    "make demo": "below, with few events",
    "make setup": "below",
    "source .venv/bin/activate": "the tests run in that environment",
}


def lines() -> list[str]:
    """The commands of all blocks, without their comments."""
    found = [line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
    return [line for line in found if line and line not in NOT_HERE]


def run(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = f"{Path(PIPELINE).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        env={**environment, "PATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def test_the_blocks_hold_what_they_should() -> None:
    text = "\n".join(BLOCKS)
    assert all(line in text for line in NOT_HERE)
    assert len(lines()) > 8


def test_every_pipeline_command_of_the_readme(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state")
    said = {}
    try:
        for line in lines():
            done = run(line, stack.environment)
            # Right after sending, records may still be on their way.
            allowed = {0, 4} if line == "pipeline audit" else {0}
            assert done.returncode in allowed, (line, done.stdout, done.stderr)
            said[line] = done.stdout
    finally:
        stack.down()
    assert "acknowledged" in said["pipeline send --events 3000"]
    assert "1. Most popular category in each country" in said["pipeline answers"]
    assert said["pipeline down"] == "stopped\n"


def test_make_demo(tmp_path: Path) -> None:
    environment = {**os.environ, "PIPELINE_HOME": str(tmp_path / "state"), **free_ports()}
    report = tmp_path / "report.json"
    done = run(f"make demo EVENTS=300 REPORT={report}", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every record is accounted for" in done.stdout
    document = json.loads(report.read_text())
    assert document["audit"]["ok"]
    assert sum(document["events"]["sent"].values()) == 300


def test_every_command_teaches() -> None:
    said = subprocess.run([PIPELINE, "--help"], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  ([a-z]+)  ", said.split("Commands:")[1], re.MULTILINE)
    assert {"up", "down", "reset", "status", "logs", "demo", "send", "analyse", "answers", "audit"} <= set(commands)
    for command in commands:
        done = subprocess.run([PIPELINE, command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, command
        assert len(done.stdout.splitlines()) > 4, command
