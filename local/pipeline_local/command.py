"""A child process: how it is started, and its end."""

import shutil
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Command:
    """Arguments, the whole environment, and the folder to start in. Nothing is inherited."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None


def emptied(folder: Path) -> Path:
    """A folder for temporary files, without those that a killed process has left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def end(children: Collection[subprocess.Popen[Any]], grace_s: float) -> None:
    """Ask all of them to end, and block until they have; what still runs after ``grace_s`` is killed."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + grace_s
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
