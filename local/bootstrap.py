#!/usr/bin/env python3
"""Makes .venv: the Python libraries, hashed and pinned, and this project in it. Standard library only.

Usage: python3.13 local/bootstrap.py [--dev | --databricks | --mwaa]

Each step is skipped when what it installs is already there, so that it can be cut off and started again, and
works without a network once done. `--dev` adds the test tools; `--databricks` makes .venv-3.12 with what
Databricks runs, and `--mwaa` .venv-3.12-mwaa with Airflow on MWAA's Python, for the tests of the code that goes there.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEARTBEAT_S = 15
STEP_DEADLINE_S = 1800


def main() -> int:
    """Make the environment that the arguments name; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments not in ([], ["--dev"], ["--databricks"], ["--mwaa"]):
        sys.stderr.write(__doc__ or "")
        return 2
    with alone(ROOT / ".pipeline" / "tools" / ".lock"):
        if arguments == ["--mwaa"]:
            return make(ROOT / ".venv-3.12-mwaa", (3, 12), ["airflow.txt", "airflow-dev.txt"], project=False)
        if arguments == ["--databricks"]:
            return make(ROOT / ".venv-3.12", (3, 12), ["databricks.txt", "databricks-dev.txt"])
        return make(ROOT / ".venv", (3, 13), ["local.txt", *(["dev.txt"] if arguments else [])])


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait, with a line, while another set-up of this checkout is at work; ``pipeline_local.toolchain`` does, too."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("set-up: another one is at work; waiting for it ...\n")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


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
    # One in which no step was ever done may be half of one, with a Python and without pip.
    if not any(venv.glob(".stamp-*")):
        step(
            venv, "venv", wanted.encode(), f"Python {wanted} environment", [python, "-m", "venv", "--clear", str(venv)]
        )
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


def trust(python: str) -> None:
    """Let pip trust whom this machine trusts: an older one knows its own list alone, which lacks a company's own."""
    sys.path.insert(0, str(ROOT / "local"))
    from pipeline_local import authorities  # noqa: PLC0415  # not before the version of this Python is known to do

    told = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    try:
        os.environ.update(authorities.for_pip(os.environ, authorities.bundle(os.environ), told))
    except authorities.AuthoritiesError as error:
        sys.stderr.write(f"set-up: {error}\n")
        raise SystemExit(1) from error


def step(venv: Path, name: str, inputs: bytes, title: str, command: list[str]) -> None:
    """Run one step unless its stamp says that the same inputs were installed before."""
    stamp = venv / f".stamp-{name}"
    digest = hashlib.sha256(inputs).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    stamp.unlink(missing_ok=True)
    run(title, command)
    stamp.write_text(digest, encoding="utf-8")


def run(title: str, command: list[str]) -> None:
    """Run a command for half an hour at most: a line at the start, a sign of life each 15 s, the seconds at the end."""
    sys.stderr.write(f"set-up: {title} ...\n")
    if command[1:3] == ["-m", "pip"]:
        trust(command[0])
    started = time.monotonic()
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(HEARTBEAT_S):
            sys.stderr.write(f"set-up: {title}: {time.monotonic() - started:.0f} s ...\n")

    threading.Thread(target=heartbeat, daemon=True).start()
    try:
        subprocess.run(command, check=True, timeout=STEP_DEADLINE_S)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(
            f"set-up: {title} failed; the lines above say why. If they speak of a certificate, name the PEM file of "
            "this network's authority: SSL_CERT_FILE=/path/to/ca.pem. If they speak of a connection or a name, look at "
            "the network; behind a proxy, set HTTPS_PROXY. Run the same command again to go on.\n"
        )
        raise SystemExit(1) from error
    except subprocess.TimeoutExpired as error:
        sys.stderr.write(
            f"set-up: {title} was not done within {STEP_DEADLINE_S} s: is the network slow or cut? "
            "Run the same command again to go on.\n"
        )
        raise SystemExit(1) from error
    finally:
        done.set()
    sys.stderr.write(f"set-up: {title}: done in {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    sys.exit(main())
