"""A process to start."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """Arguments, the whole environment, and the folder to start in. Nothing is inherited."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
