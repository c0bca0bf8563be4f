"""Tables in documents show as tables; and the one of troubleshooting names set-up as it is."""

import re
import subprocess
from pathlib import Path

from pipeline_local import toolchain
from pipeline_local.layout import Layout

ROOT = Path(__file__).parents[2]


def tables_without_a_header(text: str) -> list[str]:
    """First rows of tables that no line of dashes follows, so that they show as plain text; code is left out."""
    lines = ["", *re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines(), ""]
    return [
        line
        for before, line, after in zip(lines, lines[1:], lines[2:], strict=False)
        if line.startswith("|") and not before.startswith("|") and not re.fullmatch(r"\|[-:| ]+\|", after)
    ]


def test_the_search_finds_a_table_that_is_cut() -> None:
    assert tables_without_a_header("| a |\n|---|\n| b |\n\n| cut off |\n| c |\n") == ["| cut off |"]
    assert tables_without_a_header("| alone |") == ["| alone |"]
    assert not tables_without_a_header("```\n| code |\n```\n| a | b |\n|:--|--:|\n| c | d |")


def test_every_table_has_a_header() -> None:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert names
    found = {name: tables_without_a_header((ROOT / name).read_text()) for name in names}
    assert not {name: tables for name, tables in found.items() if tables}


def test_set_up_is_there_when_all_its_stamps_are() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    [line] = re.findall(r"^\| no network \|.*", text, re.MULTILINE)
    steps = toolchain.steps(Layout.of_checkout())
    assert re.findall(r"`\.stamp-(\w+)`", line) == [step.name for step in steps]
