import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[1] / "bootstrap.py"
THIS = sys.version_info[:2]


@pytest.fixture
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, venv: Path, fail_at: str = "") -> list[str]:
    """What a set-up runs: the module of each command. The one to fail is begun, no more."""
    ran: list[str] = []

    def run(_title: str, command: list[str]) -> None:
        module = command[command.index("-m") + 1]
        ran.append(module)
        (venv / "bin").mkdir(parents=True, exist_ok=True)
        (venv / "bin" / "python").touch()
        if module == fail_at:
            raise SystemExit(1)

    monkeypatch.setattr(bootstrap, "run", run)
    try:
        bootstrap.make(venv, THIS, ["wheel.txt"])
    except SystemExit:
        assert fail_at
    return ran


def test_an_environment_is_made_once(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert commands(bootstrap, monkeypatch, tmp_path) == ["venv", "pip", "pip"]
    assert commands(bootstrap, monkeypatch, tmp_path) == []


def test_an_environment_that_was_cut_off_is_made_again(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its Python is there before its pip."""
    assert commands(bootstrap, monkeypatch, tmp_path, fail_at="venv") == ["venv"]
    assert commands(bootstrap, monkeypatch, tmp_path, fail_at="pip") == ["venv", "pip"]
    assert commands(bootstrap, monkeypatch, tmp_path) == ["pip", "pip"]


def test_an_environment_of_an_older_set_up_stays(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".stamp-wheel.txt").write_text("of other pins")
    assert commands(bootstrap, monkeypatch, tmp_path) == ["pip", "pip"]


def test_a_step_has_a_deadline(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "STEP_DEADLINE_S", 0.1)
    with pytest.raises(SystemExit):
        bootstrap.run("libraries", [sys.executable, "-c", "import time; time.sleep(60)"])
    assert "libraries was not done within 0.1 s" in capsys.readouterr().err


def test_two_set_ups_wait_for_each_other(bootstrap: ModuleType, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(FILE.parent)!r}); import bootstrap; from pathlib import Path\n"
        f"with bootstrap.alone(Path({str(tmp_path / 'lock')!r})): print('mine')"
    )
    with bootstrap.alone(tmp_path / "lock"):
        second = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert second.stderr is not None
        assert "waiting" in second.stderr.readline()
        assert second.poll() is None
    assert second.communicate(timeout=10)[0] == "mine\n"
