"""The tier `docker` runs when its engine was made, and has failed when it was not."""

import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
BEGIN = "Docker 20.10.24\nkafka: built\n"


@pytest.fixture
def tiers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiers", ROOT / "tests" / "tiers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "ENGINE_DEADLINE_S", 1.5)
    return module


@pytest.mark.parametrize(
    ("said", "made"),
    [
        (f"{BEGIN}ended with 0 after 400 s\n", True),
        (f"{BEGIN}no space left\nended with 1 after 3 s\n", False),
        (BEGIN, False),
        (None, False),
    ],
)
def test_the_log_says_whether_the_engine_was_made(
    said: str | None, made: bool, tiers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "docker.log"
    if said is not None:
        log.write_text(said)
    assert tiers.engine_made(log) == made
    printed = capsys.readouterr().out
    assert (said or "") in printed
    assert ("no Docker engine after" in printed) == ("ended" not in (said or ""))


def test_it_is_waited_for(tiers: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "docker.log"
    log.write_text(BEGIN)
    later = threading.Timer(0.3, lambda: log.write_text(f"{BEGIN}ended with 0 after 400 s\n"))
    later.start()
    assert tiers.engine_made(log)
    later.join()


def test_two_tiers_run_at_once_and_print_one_after_the_other(
    tiers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    met = threading.Barrier(2)

    def tier(name: str, seconds: str = "0") -> Callable[[], tuple[int, int]]:
        def tests() -> tuple[int, int]:
            met.wait(10)
            assert tiers.execute(["sh", "-c", f"echo {name} begins; sleep {seconds}; echo {name} ends >&2"]) == 0
            return 1, 0

        return tests

    monkeypatch.setattr(tiers, "RESULTS", tmp_path)
    fakes = {"unit": tier("unit", "0.3"), "databricks": tier("databricks"), "lint": lambda: (2, 0)}
    monkeypatch.setattr(tiers, "TIERS", fakes)
    outcomes = tiers.run_all(["unit", "lint", "databricks"])
    assert [(one.tier, one.passed) for one in outcomes] == [("unit", 1), ("lint", 2), ("databricks", 1)]
    assert capfd.readouterr().out.split("\n") == [
        "unit begins", "unit: 1 passed, 0 failed", "databricks begins", "databricks ends",
        "databricks: 1 passed, 0 failed", "lint: 2 passed, 0 failed", "",
    ]  # fmt: skip
