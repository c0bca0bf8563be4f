"""What is too long for each commit: one part after the other, each to its end, and a line for each.

Usage: .venv/bin/python tests/support/nightly.py [PART ...]      (no PART: all). Exit code 1 if one failed.
"""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import engine

ROOT = Path(__file__).resolve().parents[2]
TIERS = (sys.executable, "tests/tiers.py")
CHAOS_TIMES = 3
HISTORIES = 100_000
FUZZ_MINUTES = 20


def parts(day: int) -> dict[str, list[list[str]]]:
    """Each part's commands. ``day``: seeds depend on it, so that each night brings others."""
    count, first = str(HISTORIES), str(day * HISTORIES)
    support = str(ROOT / "tests" / "support")
    runners = ["embedded", *(["docker"] if engine.answers() else [])]
    return {
        "fuzz": [[sys.executable, "-m", "fuzzing", "--minutes", str(FUZZ_MINUTES), "--seed", str(day)]],
        "histories": [[sys.executable, f"{support}/kinesis_histories.py", "--count", count, "--seed", first]],
        "chaos": [[*TIERS, "chaos"]] * CHAOS_TIMES,
        "runners": [[*TIERS, *runners]],
    }


def main(chosen: list[str]) -> int:
    """Run the parts named, or all; returns the exit code."""
    known = parts(datetime.now(UTC).date().toordinal())
    if unknown := set(chosen) - known.keys():
        sys.stderr.write(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(known)}\n")
        return 2
    lines = []
    for part in chosen or known:
        begun = time.monotonic()
        codes = [execute(command) for command in known[part]]
        told = "failed" if any(codes) else "ok"
        lines.append(f"{part:10} {told:6} {time.monotonic() - begun:6.0f} s\n")
        say(lines[-1])
    without = "runners" in (chosen or known) and not engine.answers()
    say(f"\n{''.join(lines)}" + ("docker: not run, no Docker engine answers\n" if without else ""))
    return 1 if any(" failed " in line for line in lines) else 0


def execute(command: list[str]) -> int:
    """Run one command in the checkout to its end; its exit code."""
    path = os.pathsep.join(str(ROOT / "tests" / folder) for folder in ("support", "fuzz"))
    say(f"== {' '.join(command)}\n")
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
