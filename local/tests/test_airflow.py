"""The first start of Airflow, cut off at the worst moment."""

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from pipeline_local import airflow


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """Airflow's environment, as far as the database is concerned."""
    folder = tmp_path / "venv"
    (folder / "lib/python3.13/site-packages/apache_airflow-3.2.1.dist-info").mkdir(parents=True)
    (folder / airflow.DATABASE).write_bytes(b"whole database")
    return folder


def test_a_kill_while_secrets_are_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(file: Path, text: str, **_: Any) -> int:
        file.write_bytes(text.encode()[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", cut_off)
        with pytest.raises(KeyboardInterrupt):
            airflow.environment({}, tmp_path / "home")
    made = airflow.environment({}, tmp_path / "home")
    assert len(made["AIRFLOW__API__SECRET_KEY"]) >= 48
    assert airflow.environment({}, tmp_path / "home") == made
    assert stat.S_IMODE((tmp_path / "home" / "secrets.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"AIRFLOW__API__SECRET_KEY": 1}', "\x00" * 9])
def test_torn_secrets_are_set_aside_and_made_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(text)
    made = airflow.environment({}, tmp_path)
    assert len(made["AIRFLOW__API__SECRET_KEY"]) >= 48
    assert airflow.environment({}, tmp_path) == made
    assert (tmp_path / "secrets.json.damaged").read_text() == text


def test_a_kill_while_the_database_is_copied_leaves_none(
    tmp_path: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:5])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", cut_off)
        with pytest.raises(KeyboardInterrupt):
            airflow.prepare_database(venv, tmp_path, {})
    airflow.prepare_database(venv, tmp_path, {})
    assert (tmp_path / airflow.DATABASE).read_bytes() == b"whole database"
