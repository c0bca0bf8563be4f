"""``docs/wire.md`` tells what the Jobs API answers."""

import re
from pathlib import Path

from batch_analyser.jobs.catalogue import JOBS

ROOT = Path(__file__).parents[2]


def test_the_calls_and_jobs_of_the_jobs_api_are_told() -> None:
    api = (ROOT / "spark" / "batch_analyser" / "service" / "api.py").read_text()
    calls = re.findall(r'\("(?:GET|POST)", "/([a-z/-]+)"\)', api)
    told = (ROOT / "docs" / "wire.md").read_text().partition("## Jobs API\n")[2].partition("\n## ")[0]
    assert len(calls) == 10
    assert [call for call in calls if f"`{call}`" not in told] == []
    assert [job for job in JOBS if f"`<id>-{job}`" not in told] == []
