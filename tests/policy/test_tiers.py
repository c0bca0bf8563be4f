"""A tier has failed over its budget; `docker` runs when its engine was made; skipped tests are told, or fail."""

import importlib.util
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nightly
import pytest
from budgets import BUDGETS_MIN

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


def test_tiers_run_beside_another_and_print_one_after_the_other(
    tiers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    met = threading.Barrier(2)

    def tier(name: str, seconds: str = "0") -> Callable[[], object]:
        def tests() -> object:
            met.wait(10)
            assert tiers.execute(["sh", "-c", f"echo {name} begins; sleep {seconds}; echo {name} ends >&2"]) == 0
            return tiers.Counts(1, 0)

        return tests

    monkeypatch.setattr(tiers, "RESULTS", tmp_path)
    fakes = {"unit": tier("unit", "0.3"), "databricks": tier("databricks"), "lint": lambda: tiers.Counts(2, 0)}
    monkeypatch.setattr(tiers, "TIERS", fakes)
    outcomes = tiers.run_all(["lint", "unit", "databricks"])
    assert [(one.tier, one.counts.passed) for one in outcomes] == [("lint", 2), ("unit", 1), ("databricks", 1)]
    assert capfd.readouterr().out.split("\n") == [
        "unit begins", "unit: 1 passed, 0 failed", "lint: 2 passed, 0 failed", "databricks begins", "databricks ends",
        "databricks: 1 passed, 0 failed", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("there", "required", "runs", "line"),
    [
        ("/usr/bin/chromium", "", True, ""),
        (None, "1", True, ""),
        (None, "", False, "browser: not run, no Chromium (apt-get install chromium-headless-shell "),
    ],
)
def test_where_there_is_no_chromium_its_tier_is_not_run_and_that_is_said_or_it_must(
    there: str | None,
    required: str,
    runs: bool,
    line: str,
    tiers: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen: list[str] = []

    def run_all(names: list[str]) -> list[object]:
        chosen.extend(names)
        return []

    monkeypatch.setattr(tiers, "RESULTS", tmp_path)
    monkeypatch.setattr(tiers, "run_all", run_all)
    monkeypatch.setattr(tiers.chromium, "program", lambda: there)
    monkeypatch.setenv("CHROMIUM_REQUIRED", required)
    tiers.main([])
    assert ("browser" in chosen) is runs
    assert line in capsys.readouterr().out


def test_what_batch_leaves_out_is_there(tiers: ModuleType) -> None:
    """Pytest is silent about a file that it is to ignore and that has another name by now."""
    assert [path for path in tiers.NOT_BATCH if not (ROOT / path).exists()] == []


def test_batch_leaves_out_what_is_of_the_other_paths(
    tiers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[list[str]] = []

    def execute(argv: list[str], _environment: dict[str, str]) -> int:
        ran.append(argv)
        return 0

    monkeypatch.setattr(tiers, "RESULTS", tmp_path)
    monkeypatch.setattr(tiers, "execute", execute)
    tiers.main(["--batch", "unit"])
    assert {f"--ignore={path}" for path in tiers.NOT_BATCH} <= set(ran[0])
    assert tiers.UNIT[-1] in ran[0]


@pytest.mark.parametrize(
    ("allowed", "line", "good"),
    [
        (None, "unit: 1 passed, 0 failed, 9 skipped", True),
        ("sample", "unit: 1 passed, 0 failed, 9 skipped", True),
        ("MariaDB,", "unit: 1 passed, 9 failed", False),
        ("", "unit: 1 passed, 9 failed", False),
    ],
)
def test_what_was_skipped_is_told_and_fails_where_it_may_not_be(
    allowed: str | None, line: str, good: bool, tiers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if allowed is None:
        monkeypatch.delenv("SKIPS_ALLOWED", raising=False)
    else:
        monkeypatch.setenv("SKIPS_ALLOWED", allowed)
    monkeypatch.setattr(tiers, "RESULTS", tmp_path)
    skipped = '<testcase classname="a" name="b"><skipped type="pytest.skip" message="no sample at x"/></testcase>'
    report = tmp_path / "unit.xml"
    report.write_text(
        '<testsuites><testsuite tests="10" skipped="9" failures="0" errors="0">'
        f'<testcase classname="a" name="c"/>{9 * skipped}</testsuite></testsuites>'
    )
    outcome = tiers.Outcome("unit", tiers.counted(report, 0), 1.0)
    assert (outcome.line, outcome.good) == (line, good)
    assert f"unit: 9 skipped{'' if good else ', which fails'}: no sample at x\n" in tiers.failures(["unit"])


def test_a_tier_over_its_budget_has_failed(tiers: ModuleType) -> None:
    [limit_s] = [minutes * 60 for tier, minutes in BUDGETS_MIN.items() if tier == "unit"]
    good, late = (tiers.Outcome("unit", tiers.Counts(1, 0), limit_s + more) for more in (-1, 1))
    assert (good.good, late.good) == (True, False)
    assert late.line == f"unit: 1 passed, 0 failed, {limit_s + 1} s, over its budget of {limit_s // 60} min"


def test_waiting_for_an_engine_is_not_of_a_tiers_time(
    tiers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "docker.log"
    later = threading.Timer(0.5, lambda: log.write_text("ended with 0 after 400 s\n"))
    monkeypatch.setenv("DOCKER_LOG", log.name)
    monkeypatch.setattr(tiers, "RESULTS", tmp_path)
    monkeypatch.setattr(tiers, "TIERS", {"docker": lambda: tiers.Counts(1, 0)})
    later.start()
    assert tiers.run("docker").seconds < 0.4
    later.join()


def test_budgets_are_those_of_the_document(tiers: ModuleType) -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\d+) min[^|]*\|[^|]*\|$", (ROOT / "docs/testing.md").read_text(), re.M)
    assert {tier: int(minutes) for tier, minutes in rows} == {tier: BUDGETS_MIN[tier] for tier in tiers.TIERS}


def test_parts_of_the_night_are_those_of_the_document() -> None:
    nightly_of = (ROOT / "docs/testing.md").read_text().split("## Nightly", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", nightly_of, re.M)) == nightly.parts(1).keys()


@pytest.mark.parametrize(("code", "said"), [(0, "chaos      ok"), (1, "chaos      failed")])
def test_each_part_of_the_night_has_a_line(
    code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def execute(command: list[str]) -> int:
        ran.append(command)
        return code if len(ran) == 1 else 0

    monkeypatch.setattr(nightly, "execute", execute)
    monkeypatch.setattr("engine.answers", lambda: False)
    assert nightly.main(["chaos"]) == code
    assert len(ran) == nightly.CHAOS_TIMES, "to its end, whatever failed"
    told = capsys.readouterr().out
    assert said in told
    assert "docker" not in told, "nobody asked for it"
    nightly.main(["runners"])
    assert "docker: not run, no Docker engine answers" in capsys.readouterr().out
