"""A disk so full that the supervisor cannot write what it knows: ``status`` looks by itself."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from pipeline_local import cli, locks
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout
from pipeline_local.status import ServiceStatus, Status
from pipeline_local.supervision import disk

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("free", [0, disk.SPACE_BYTES])
def test_what_was_true_before_the_disk_was_full_is_not_said_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _folder: free)
    running = Installation(Layout(ROOT, tmp_path), {})
    Status(1, "ready", services={"kafka": ServiceStatus("ready")}).write(running.layout.status_file)
    with locks.held(running.layout.supervisor_lock, lambda: None):
        done = CliRunner().invoke(cli.main.commands["status"], [], obj=running)
    told = f"the disk of {tmp_path} is full (0 MiB are free): no service is started until 128 MiB are" in done.output
    assert (told, done.exit_code) == ((True, 1) if free == 0 else (False, 0)), done.output


def test_a_disk_that_cannot_be_looked_at_is_not_called_full(tmp_path: Path) -> None:
    assert disk.full(tmp_path / "none") is None
