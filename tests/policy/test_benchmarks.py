"""Benchmarks that could call a failure a figure."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_raw_files_that_were_cut_off_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = loaded("answers", monkeypatch)
    with monkeypatch.context() as broken:
        broken.setattr(answers.answers_data, "_words", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            answers.posts_in(tmp_path, 3)
    raw = answers.posts_in(tmp_path, 3)
    assert {file.name: len(file.read_text().splitlines()) for file in raw.iterdir()} == {
        "pin.jsonl": 3, "geo.jsonl": 3, "user.jsonl": 3,
    }  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == [raw.name]


def test_no_round_of_refused_requests_is_lost_in_a_median(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = loaded("proxy", monkeypatch)
    rounds = [proxy.Cell(1, 1, *[1.0] * 9, failed) for failed in (0, 5, 0)]
    assert proxy.median(rounds).not_200 == 5
