import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from emitter.ledger import Ledger
from pipeline_local.audit.ledger import read_ledger
from pipeline_local.audit.stages import StageUnreachableError
from pipeline_local.commands_events import await_emitter, start_emitter
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from service_kit.clock import ManualClock

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(Layout(ROOT, tmp_path))


def send(installation: Installation) -> None:
    """What ``send`` does around the emitter."""
    Ledger(installation.layout.ledger, ManualClock()).__exit__()
    with subprocess.Popen([sys.executable, "-c", ""], text=True) as emitter:
        await_emitter(installation, emitter, lambda: None)


def test_before_the_first_send_nothing_is_acknowledged(installation: Installation) -> None:
    assert read_ledger(installation.layout, "batch").num_rows == 0


def test_an_emitter_that_made_no_ledger_leaves_no_mark(installation: Installation) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], text=True) as emitter:
        await_emitter(installation, emitter, lambda: None)
    assert read_ledger(installation.layout, "batch").num_rows == 0


def test_a_ledger_that_is_gone_is_no_empty_one(installation: Installation) -> None:
    """Without it the audit would call green what it cannot see."""
    file = installation.layout.ledger
    Ledger(file, ManualClock()).__exit__()
    assert read_ledger(installation.layout, "stream").num_rows == 0
    for part in file.parent.glob("ledger.sqlite*"):
        if part.suffix != ".lock":
            part.unlink()
    with pytest.raises(StageUnreachableError, match="is gone: what was acknowledged cannot be compared") as raised:
        read_ledger(installation.layout, "batch")
    (file.parent / "ledger.sqlite.lock").unlink()
    assert f"delete {file}.lock to go on without it" in str(raised.value)
    assert read_ledger(installation.layout, "batch").num_rows == 0


def test_a_ledger_that_is_gone_with_its_whole_folder_is_told(installation: Installation) -> None:
    send(installation)
    assert read_ledger(installation.layout, "batch").num_rows == 0
    shutil.rmtree(installation.layout.ledger.parent)
    mark = installation.layout.home / "SENT"
    with pytest.raises(StageUnreachableError, match=f"is gone.*delete {mark} to go on without it"):
        read_ledger(installation.layout, "stream")
    with pytest.raises(InstallationError, match="is gone"):
        start_emitter(installation, [])
    mark.unlink()
    assert read_ledger(installation.layout, "stream").num_rows == 0
