"""What a job on Databricks installs at its start replaces nothing of the runtime, and tests run on that runtime."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "requirements" / "databricks.in"
PINNED = ROOT / "requirements" / "databricks.txt"
ADDED = {"msgspec", "pydantic-settings", "python-dotenv", "typing-inspection"}
"""What the wheel brings, since the runtime has nothing of that name. Whoever adds one looks into the runtime's list."""
OF_SPARK = {"py4j"}
"""What pyspark pins itself."""
THERE = {"python_version": "3.12", "python_full_version": "3.12.3"}


def pins(file: Path) -> dict[str, str]:
    """Name to version."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;\\]+)(?! ; sys_platform == 'win32')", file.read_text(), re.MULTILINE))


def demanded() -> list[Requirement]:
    """What pip looks for when a cluster installs the wheel: no extra, on the runtime's Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = map(Requirement, project["dependencies"])
    return [one for one in wanted if one.marker is None or one.marker.evaluate(THERE)]


def replaced(requirements: Iterable[Requirement]) -> list[str]:
    """The requirements that the runtime's own version does not meet, so that pip would put another in its place."""
    held = pins(RUNTIME)
    return [str(one) for one in requirements if one.name in held and not one.specifier.contains(held[one.name])]


def unknown(requirements: Iterable[Requirement]) -> set[str]:
    """Those of which nobody has said whether the runtime has them."""
    return {one.name for one in requirements} - set(pins(RUNTIME)) - ADDED


def test_a_job_s_start_replaces_nothing_of_the_runtime() -> None:
    assert replaced(demanded()) == []
    assert unknown(demanded()) == set()


@pytest.mark.parametrize("old", ["pydantic>=2.12", "prometheus-client>=0.22", "typing-extensions>=4.15"])
def test_a_demand_for_more_is_found(old: str) -> None:
    assert replaced([Requirement(old)]) == [old]


def test_what_is_tested_is_the_runtime_and_what_the_wheel_brings() -> None:
    """The compiled file holds what those bring along, too: pip would take other versions of it, but no others fit."""
    runtime, compiled = pins(RUNTIME), pins(PINNED)
    assert {name: compiled.get(name) for name in runtime} == runtime
    assert set(compiled) - set(runtime) - {"colorama"} == ADDED | OF_SPARK


def test_what_the_wheel_brings_cannot_grow_newer_than_what_was_tested_unseen() -> None:
    """A newer one may demand newer libraries of the runtime, and a job's start takes the newest that is allowed."""
    bounded = {one.name for one in demanded() if any(part.operator in {"<", "<=", "=="} for part in one.specifier)}
    assert {"pydantic-settings", "typing-inspection"} <= bounded


def test_the_pins_are_of_the_runtime_that_the_jobs_name() -> None:
    named = yaml.safe_load((ROOT / "databricks.yml").read_text())["variables"]["spark_version"]["default"]
    heading = RUNTIME.read_text().partition("\n")[0]
    assert re.findall(r"Databricks Runtime ([\w.-]+)", heading) == [named]


def test_delta_in_java_is_that_in_python() -> None:
    jars = (ROOT / "requirements" / "databricks" / "jars.xml").read_text()
    assert re.findall(r'name="delta-spark_2.13" rev="([^"]+)"', jars) == [pins(RUNTIME)["delta-spark"]]
