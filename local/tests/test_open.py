from pathlib import Path

import pytest
from click.testing import CliRunner
from pipeline_local import cli, locks
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout

ROOT = Path(__file__).parents[2]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to show, on a desktop."""
    found: list[str] = []

    def show(address: str) -> bool:
        found.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", show)
    monkeypatch.setenv("DISPLAY", ":0")
    return found


def installation(home: Path, **variables: str) -> Installation:
    return Installation(Layout(ROOT, home), variables)


def test_it_prints_the_address_and_opens_nothing_but_from_a_terminal(tmp_path: Path, opened: list[str]) -> None:
    running = installation(tmp_path, DASHBOARD_PORT="8199")
    with locks.held(running.layout.supervisor_lock, lambda: None):
        done = CliRunner().invoke(cli.main.commands["open"], [], obj=running)
    assert (done.exit_code, done.output, opened) == (0, "http://127.0.0.1:8199\n", [])


@pytest.mark.parametrize(("options", "expected"), [([], ["http://127.0.0.1:8199"]), (["--print"], [])])
def test_from_a_terminal_on_a_desktop_it_opens_a_browser(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch, options: list[str], expected: list[str]
) -> None:
    monkeypatch.setattr(cli, "_on_a_desktop", lambda: True)
    running = installation(tmp_path, DASHBOARD_PORT="8199")
    with locks.held(running.layout.supervisor_lock, lambda: None):
        done = CliRunner().invoke(cli.main.commands["open"], options, obj=running)
    assert (done.exit_code, opened) == (0, expected)


@pytest.mark.parametrize(
    ("variables", "said"),
    [({}, "nothing is running; start it with `pipeline up`"), ({"PIPELINE_WITHOUT": "dashboard"}, "is left out")],
)
def test_what_is_not_there_is_not_opened(
    tmp_path: Path, opened: list[str], variables: dict[str, str], said: str
) -> None:
    done = CliRunner().invoke(cli.main.commands["open"], [], obj=installation(tmp_path, **variables))
    assert said in str(done.exception)
    assert opened == []
