import json
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_kit import hung, probe
from service_kit.hung import START_S, Silence

LIMIT_S = 60.0


@given(st.lists(st.tuples(st.floats(0.1, 400), st.booleans()), max_size=40))
def test_only_what_was_silent_for_so_long_in_three_checks_or_more_hangs(checks: list[tuple[float, bool]]) -> None:
    now, known = 100.0, Silence()
    silent: list[float] = []
    lived = False
    for pause, answered in checks:
        now += pause
        known = known.answered() if answered else known.silent(now)
        silent = [] if answered else [*silent, now]
        lived |= answered
        limit = LIMIT_S if lived else START_S
        assert known.hangs(now, LIMIT_S) == (len(silent) >= 3 and silent[-1] - silent[0] >= limit)


def test_between_checks_a_file_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "health.json"
    times = count(1_000, 10)

    def note(*, answered: bool) -> str | None:
        return hung.note(file, float(next(times)), answered=answered, limit_s=LIMIT_S)

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as service:
        monkeypatch.setattr(hung, "main_process", lambda: service.pid)
        monkeypatch.setattr(hung, "_log", lambda _line: None)
        assert note(answered=True) is None
        for _ in range(6):
            assert note(answered=False) is None
        file.write_text("{torn")
        for _ in range(18):  # counted anew, as if it had never answered
            assert note(answered=False) is None
        assert service.poll() is None
        said = note(answered=False)
        assert service.wait(10) == -signal.SIGKILL
    assert said is not None
    assert "has not answered for 180 s" in said


def process(proc: Path, number: int, name: str, parent: int) -> None:
    folder = proc / str(number)
    folder.mkdir()
    (folder / "comm").write_text(f"{name}\n")
    (folder / "stat").write_text(f"{number} (a ) b) S {parent} 1 1 0")


@pytest.mark.parametrize(("init", "found"), [("docker-init", 7), ("systemd", None), ("python", None)])
def test_nothing_is_ended_but_what_dockers_init_started(tmp_path: Path, init: str, found: int | None) -> None:
    process(tmp_path, 1, init, 0)
    for number, parent in [(7, 1), (8, 7), (20, 1), (30, 0)]:
        process(tmp_path, number, "python", parent)
    (tmp_path / "cpuinfo").touch()
    assert hung.main_process(tmp_path) == found


def test_the_health_check_notes_a_silent_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "NOTES", tmp_path / "health.json")
    assert probe.main(["1", "60"]) == 1
    assert json.loads((tmp_path / "health.json").read_text())["checks"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["health.json"]
