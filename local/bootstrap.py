#!/usr/bin/env python3
"""Makes .venv: the Python libraries, hashed and pinned, and this project in it. Standard library only.

Usage: python3.13 local/bootstrap.py [--dev | --databricks | --mwaa]

Each step is skipped when what it installs is already there, so that it can be cut off and started again, and
works without a network once done. `--dev` adds the test tools; `--databricks` makes .venv-3.12 with what
Databricks runs, and `--mwaa` .venv-3.12-mwaa with Airflow on MWAA's Python, for the tests of the code that goes there.
"""

import hashlib
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEARTBEAT_S = 15


def main() -> int:
    """Make the environment that the arguments name; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments not in ([], ["--dev"], ["--databricks"], ["--mwaa"]):
        sys.stderr.write(__doc__ or "")
        return 2
    if arguments == ["--mwaa"]:
        return make(ROOT / ".venv-3.12-mwaa", (3, 12), ["airflow.txt", "airflow-dev.txt"], project=False)
    if arguments == ["--databricks"]:
        return make(ROOT / ".venv-3.12", (3, 12), ["databricks.txt", "databricks-dev.txt"])
    return make(ROOT / ".venv", (3, 13), ["local.txt", *(["dev.txt"] if arguments else [])])


def make(venv: Path, version: tuple[int, int], files: list[str], *, project: bool = True) -> int:
    """Make one environment, with this project in it or without, as MWAA has it.

    Prints a line per step; on failure prints the installer's own last words.
    """
    wanted = ".".join(map(str, version))
    python = sys.executable if sys.version_info[:2] == version else shutil.which(f"python{wanted}")
    if python is None:
        sys.stderr.write(
            f"CPython {wanted} is needed and python{wanted} is not on the PATH "
            f"(this is {sys.version.split()[0]}). Install it, then run this again.\n"
        )
        return 2
    if not (venv / "bin" / "python").exists():
        run(f"Python {wanted} environment", [python, "-m", "venv", str(venv)])
    inner = str(venv / "bin" / "python")
    # The files hold all that is needed: nothing to resolve, which the pip of 3.12 cannot do for pins of extras. Modules
    # are compiled when they are first imported: most never are.
    pip = [inner, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]
    for file in files:
        path = ROOT / "requirements" / file
        step(venv, file, path.read_bytes(), f"libraries of requirements/{file}",
             [*pip, "--require-hashes", "--no-compile", "--requirement", str(path)])  # fmt: skip
    if project:
        step(venv, "project", (ROOT / "pyproject.toml").read_bytes() + bytes(venv), "this project",
             [*pip, "--no-build-isolation", "--editable", str(ROOT)])  # fmt: skip
    return 0


def step(venv: Path, name: str, inputs: bytes, title: str, command: list[str]) -> None:
    """Run one step unless its stamp says that the same inputs were installed before."""
    stamp = venv / f".stamp-{name}"
    digest = hashlib.sha256(inputs).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    run(title, command)
    stamp.write_text(digest, encoding="utf-8")


def run(title: str, command: list[str]) -> None:
    """Run a command with a line at the start, a sign of life each 15 s, and the seconds at the end."""
    sys.stderr.write(f"set-up: {title} ...\n")
    started = time.monotonic()
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(HEARTBEAT_S):
            sys.stderr.write(f"set-up: {title}: {time.monotonic() - started:.0f} s ...\n")

    threading.Thread(target=heartbeat, daemon=True).start()
    result = subprocess.run(command, check=False)
    done.set()
    if result.returncode:
        sys.stderr.write(f"set-up: {title} failed; the lines above say why. Run the same command again to go on.\n")
        raise SystemExit(1)
    sys.stderr.write(f"set-up: {title}: done in {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    sys.exit(main())
