import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_local import commands_events
from pipeline_local.commands_demo import DEFAULT_EVENTS, demo, emitter_arguments, empty, send_all
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout

ROOT = Path(__file__).parents[2]
URL = "mysql+pymysql://reader:secret@db/posts"


def test_the_shells_source_is_the_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMITTER_SOURCE", URL)
    assert demo.make_context("demo", []).params["source"] == URL
    assert demo.make_context("demo", ["--source", "posts"]).params["source"] == "posts"


def test_a_source_is_sent_to_its_end_and_its_password_is_no_argument() -> None:
    arguments = emitter_arguments(URL, None, 1, None)
    assert "--events" not in arguments
    assert not [one for one in arguments if "secret" in one]


def test_made_up_posts_have_a_number() -> None:
    assert emitter_arguments(None, None, 1, 50.0)[-4:] == ["--rate", "50.0", "--events", str(DEFAULT_EVENTS)]


def test_an_emitter_that_says_nothing_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ends a defect with 1, which is the emitter's code for rows that were refused, too."""

    def start(*_: object, stdout: int) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"], stdout=stdout, text=True)

    monkeypatch.setattr(commands_events, "start_emitter", start)
    with pytest.raises(InstallationError, match="the emitter failed with exit code 1"):
        send_all(Installation(Layout(ROOT, tmp_path)), [])


def test_a_folder_that_no_demo_made_is_not_emptied(tmp_path: Path) -> None:
    """The user's own installation may be called so, too."""
    own = Installation(Layout(ROOT, tmp_path / "demo"))
    own.layout.lake.mkdir(parents=True)
    with pytest.raises(InstallationError, match="no demo made"):
        empty(own)
    assert own.layout.lake.exists()


def test_a_demo_empties_the_folder_of_the_last_one(tmp_path: Path) -> None:
    own = Installation(Layout(ROOT, tmp_path / "demo"))
    for _ in range(2):
        empty(own)
        assert [file.name for file in own.layout.home.iterdir()] == ["DEMO"]
        own.layout.lake.mkdir()


def test_an_empty_folder_is_the_demos(tmp_path: Path) -> None:
    own = Installation(Layout(ROOT, tmp_path / "demo"))
    own.layout.home.mkdir()
    empty(own)
