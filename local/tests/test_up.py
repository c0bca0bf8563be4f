"""What ``pipeline up`` prints, by what became of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from pipeline_local import cli
from pipeline_local.installation import Installation, Up
from pipeline_local.layout import Layout

LINE = "proxy runs, but is not ready: kafka: away; see `pipeline logs proxy`"


@pytest.mark.parametrize("started", [True, False])
def test_an_installation_that_is_not_ready_is_told_in_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: bool
) -> None:
    monkeypatch.setattr(Installation, "up", lambda *_: Up(started=started, not_ready=[LINE]))
    done = CliRunner().invoke(
        cli.main.commands["up"], [], obj=Installation(Layout(Path(__file__).parents[2], tmp_path))
    )
    first, second, *_ = done.output.splitlines()
    assert first.startswith("started, but not" if started else "already running, but not")
    assert first.endswith("the others run:")
    assert (second, done.exit_code) == (LINE, 5)
