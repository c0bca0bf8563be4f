"""Where the checkpoints of a query lie."""

from pathlib import Path

from pipeline_contracts.names import Kind


def checkpoint_folder(state_dir: Path, kind: Kind, log_id: str) -> Path:
    """One folder per stream: the positions of one are nothing to another of the same name."""
    created_ms = log_id.rpartition("@")[2]
    return state_dir / "checkpoints" / kind / created_ms
