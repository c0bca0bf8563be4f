from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from pipeline_local import commands_data, commands_stages
from pipeline_local.audit.report import EXIT_UNREACHABLE
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout


def test_a_lake_that_cannot_be_read_cannot_be_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: Any) -> Any:
        raise duckdb.InvalidInputException("arrow_scan: get_next failed")

    monkeypatch.setattr(commands_stages, "must_serve", lambda *_: None)
    monkeypatch.setattr(commands_stages, "audit_paths", unreadable)
    installation = Installation(Layout(Path(__file__).parents[2], tmp_path))
    done = CliRunner().invoke(commands_stages.audit, [], obj=installation)
    assert (done.exit_code, done.output) == (EXIT_UNREACHABLE, "cannot audit: arrow_scan: get_next failed\n")


def test_a_query_over_no_tables_says_what_makes_some(tmp_path: Path) -> None:
    installation = Installation(Layout(Path(__file__).parents[2], tmp_path))
    done = CliRunner().invoke(commands_data.query, ["select * from silver_pin"], obj=installation)
    assert str(done.exception) == "the lake has no tables yet: send events, then `pipeline analyse`"
    assert CliRunner().invoke(commands_data.query, ["select 1"], obj=installation).exit_code == 0


def test_nothing_replays_the_quarantine_of_streams(tmp_path: Path) -> None:
    installation = Installation(Layout(Path(__file__).parents[2], tmp_path))
    done = CliRunner().invoke(commands_data.quarantine, ["--path", "stream", "--replay"], obj=installation)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == "Error: --replay is of the batch path alone; send a stream's records again"
