import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from emitter.cli import main


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMITTER_LEDGER", str(tmp_path / "ledger.sqlite"))
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "/no/such/folder"], "emitter: no folder /no/such/folder; --source names"),
        (["--source", "sqlite:////no/such/folder/db"], "emitter: cannot open sql:sqlite:////no/such/folder/db"),
        (["--events", "0"], "Invalid value for '--events'"),
        (["--rate", "0"], "Invalid value for '--rate'"),
        (["--path", "both ways"], "Invalid value for '--path'"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GATEWAY_URL", "localhost:4566", "GATEWAY_URL"),
        ("EMITTER_LANES", "0", "EMITTER_LANES"),
        ("PIPELINE_ID", "Not Allowed", "PIPELINE_ID"),
        ("EMITTER_LEDGER", "/proc/nowhere/ledger", "/proc/nowhere"),
    ],
)
def test_wrong_settings_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = CliRunner().invoke(main, ["--events", "3"])
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("EMITTER_PORT", str(taken.getsockname()[1]))
        result = CliRunner().invoke(main, ["--events", "3"])
    assert result.exit_code == 2
    assert "EMITTER_HOST, EMITTER_PORT: cannot listen on 127.0.0.1:" in result.output
    assert not (tmp_path / "ledger.sqlite").exists()


def test_help_teaches() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for word in ("--source", "--events", "--seed", "--rate", "--path", "--fresh", "Exit code", "resumes"):
        assert word in result.output
