"""The environment of this tier is what a cluster has once it installed the wheel, and no library lacks another."""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def pins(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+) \\$", text, re.MULTILINE))


def demanded(name: str) -> list[Requirement]:
    """What a distribution needs here, without an extra."""
    requirements = map(Requirement, distribution(name).requires or [])
    return [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]


def test_python_and_libraries_are_the_runtimes() -> None:
    assert sys.version_info[:2] == (3, 12)
    expected = pins("databricks.txt")
    assert {name: distribution(name).version for name in expected} == expected


def test_what_the_wheel_needs_is_met_down_to_the_last_library() -> None:
    """As pip sees it on a cluster: a demand that is not met here would replace a library of the runtime there."""
    seen, ahead = set(), ["pinterest-data-pipeline", *pins("databricks.txt")]
    unmet = []
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        for one in demanded(name):
            if not one.specifier.contains(distribution(one.name).version):
                unmet.append(f"{name} needs {one}, here is {distribution(one.name).version}")
            ahead.append(one.name)
    assert unmet == []
    assert {"pydantic-core", "typing-extensions", "msgspec"} <= seen
