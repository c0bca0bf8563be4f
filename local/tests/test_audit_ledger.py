from pathlib import Path

import pytest
from emitter.ledger import Ledger
from pipeline_local.audit.ledger import read_ledger
from pipeline_local.audit.stages import StageUnreachableError
from service_kit.clock import ManualClock


def test_before_the_first_send_nothing_is_acknowledged(tmp_path: Path) -> None:
    assert read_ledger(tmp_path / "ledger.sqlite", "batch").num_rows == 0


def test_a_ledger_that_is_gone_is_no_empty_one(tmp_path: Path) -> None:
    """Without it the audit would call green what it cannot see."""
    file = tmp_path / "ledger.sqlite"
    Ledger(file, ManualClock()).__exit__()
    assert read_ledger(file, "stream").num_rows == 0
    for part in tmp_path.glob("ledger.sqlite*"):
        if part.suffix != ".lock":
            part.unlink()
    with pytest.raises(StageUnreachableError, match="is gone: what was acknowledged cannot be compared") as raised:
        read_ledger(file, "batch")
    (tmp_path / "ledger.sqlite.lock").unlink()
    assert f"delete {file}.lock to audit without it" in str(raised.value)
    assert read_ledger(file, "batch").num_rows == 0
