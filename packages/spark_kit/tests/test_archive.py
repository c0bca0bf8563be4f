"""What becomes of the class archive; ``make setup`` makes a real one."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from spark_kit import archive
from spark_kit.session import SessionConfig


def test_the_archive_outlives_the_scratch_folder_of_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}

    def build(config: SessionConfig, record_archive: Path) -> object:
        made.update(config=config, archive=record_archive)
        return object()

    def stop(_spark: object, _deadline_s: float) -> None:
        made["archive"].write_bytes(b"classes")  # at the JVM's end; then its scratch folder goes
        shutil.rmtree(made["config"].scratch_dir, ignore_errors=True)

    monkeypatch.setattr(archive, "build_session", build)
    monkeypatch.setattr(archive, "stop_session", stop)
    monkeypatch.setattr(archive, "_use_much", lambda *_: None)
    assert archive.make_archive(tmp_path, None).read_bytes() == b"classes"
    assert [file.suffix for file in tmp_path.iterdir()] == [".jsa"]
