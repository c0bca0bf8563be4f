"""Every command that the README shows, as it stands there."""

import os
import re
import subprocess
from pathlib import Path

from click.testing import CliRunner
from pipeline_local.cli import main
from stack import PIPELINE, ROOT, Stack

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
NOT_HERE = {
    "make test": "this is it",
    "make demo": "tests/e2e/test_demo.py runs it",
    "make setup": "make demo begins with it",
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
    assert "acknowledged" in said["pipeline send --events 3000 --path both"]
    assert "1. Most popular category in each country" in said["pipeline answers"]
    assert said["pipeline down"] == "stopped\n"


def test_every_command_teaches() -> None:
    said = CliRunner().invoke(main, ["--help"]).output
    commands = re.findall(r"^  ([a-z]+)  ", said.split("Commands:")[1], re.MULTILINE)
    assert {"up", "down", "reset", "status", "logs", "demo", "answers", "audit", "popular"} <= set(commands)
    for command in commands:
        if command != "send":  # the emitter's own text: below
            done = CliRunner().invoke(main, [command, "--help"])
            assert done.exit_code == 0, command
            assert len(done.output.splitlines()) > 4, command


def test_send_teaches_the_emitters_options() -> None:
    done = subprocess.run([PIPELINE, "send", "--help"], capture_output=True, text=True, check=True)
    assert "--rate" in done.stdout
