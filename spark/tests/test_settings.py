from pathlib import Path

import pytest
from batch_analyser.cli import main
from batch_analyser.settings import ServerSettings
from click.testing import CliRunner


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_URI", "file:///nowhere")
    monkeypatch.setenv("ANALYSER_STATE_DIR", "/nowhere")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PIPELINE_ID", "Not Allowed"),
        ("ANALYSER_LOG_LEVEL", "verbose"),
        ("ANALYSER_PORT", "x"),
        ("ANALYSER_TOKEN", "ab/cd+ef=ab/cd+ef=ab/cd+ef="),
    ],
)
def test_bad_values_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stop:
        ServerSettings.load()
    assert stop.value.code == 2
    assert variable in capsys.readouterr().err


def test_the_services_scratch_folder_is_one_of_the_state_folder() -> None:
    assert ServerSettings.load().session().scratch_dir == Path("/nowhere/scratch")


def test_a_bad_pipeline_id_is_a_line_of_the_command_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_ID", "Not Allowed")
    result = CliRunner().invoke(main, ["show"])
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert "PIPELINE_ID" in result.output
