"""The documents and the rest of the repository say what the templates say."""

import re
from pathlib import Path

import pytest
from aws_deploy.costs import idle_costs
from aws_deploy.resolve import resolve
from aws_deploy.stacks import build
from aws_deploy.wanted import ALL, Size
from rendered import EARLIER, document, optional, wanted

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "aws"
README = Path(__file__).parents[1] / "README.md"

# What would make a bucket, a stream or an API beside the templates.
_MAKES = re.compile(r"\.(create_bucket|create_stream|create_rest_api|put_rest_api|import_rest_api)\(")
# Beside a stream that somebody recreated, which no deployment takes over on the laptop, the mirror makes missing ones.
_ALLOWED = {"deploy/aws/aws_deploy/mirror/sides.py": ["create_stream"]}
_ELSEWHERE = ["packages", "services", "spark", "local", "deploy/aws/aws_deploy"]


def makers(text: str) -> list[str]:
    return _MAKES.findall(text)


def test_buckets_streams_and_the_api_are_defined_in_one_place() -> None:
    assert makers("s3.create_bucket(Bucket=name)")
    found = {
        str(file.relative_to(ROOT)): made
        for folder in _ELSEWHERE
        for file in (ROOT / folder).rglob("*.py")
        if "tests" not in file.parts and (made := makers(file.read_text(encoding="utf-8")))
    }
    assert found == _ALLOWED
    assert (ROOT / "local" / "pipeline_local" / "processes.py").read_text(encoding="utf-8").count(
        "aws_deploy.mirror"
    ) == 1


def test_the_readme_lists_the_stacks_in_order() -> None:
    named = re.findall(r"^\| `<id>-([a-z]+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert named == list(ALL)


def test_every_alarm_has_a_runbook() -> None:
    headings = " ".join(re.findall(r"^## (.*)$", (DOCS / "runbooks.md").read_text(encoding="utf-8"), re.MULTILINE))
    alarms = [n for n, r in document("alarms")["Resources"].items() if r["Type"] == "AWS::CloudWatch::Alarm"]
    missing = {name for name in alarms if re.sub(r"(Pin|Geo|User)$", "", name) not in headings}
    assert missing == set()
    assert len(alarms) > 20


@pytest.mark.parametrize(("size", "column"), [("dev", 2), ("prod", 3)])
def test_what_is_paid_while_idle_is_what_the_plan_says(size: Size, column: int) -> None:
    idle = (DOCS / "scaling.md").read_text(encoding="utf-8").partition("## The arithmetic")[0]
    rows = [[cell.strip(" *") for cell in line.split("|")] for line in idle.splitlines() if line.startswith("|")]
    table = {row[1]: row[column] for row in rows}
    sizes = {"network": {"NatGateways": "per-zone"}} if size == "prod" else {}
    totals = {
        kind: sum(
            idle.usd_per_hour
            for idle in idle_costs(
                resolve(document(kind), build(kind, wanted(size, **sizes, **optional(kind)), EARLIER).parameters)
            )
        )
        for kind in ALL
    }
    for kind in ("mwaa", "kafka", "connect", "network", "streams", "proxy", "popularity", "dashboard"):
        assert float(table[kind]) == pytest.approx(totals[kind], abs=0.006), kind
    assert float(table["together"]) == pytest.approx(sum(totals.values()), abs=0.06)


def test_settings_that_documents_name_are_there() -> None:
    declared = {f"{kind}.{name}" for kind in ALL for name in document(kind)["Parameters"]}
    texts = [README, *sorted(DOCS.glob("*.md"))]
    kinds = "|".join(ALL)
    setting = re.compile(rf"\b((?:{kinds})\.[A-Z][A-Za-z0-9]+)\b")
    named = {found for text in texts for found in setting.findall(text.read_text(encoding="utf-8"))}
    assert named
    assert named <= declared
