"""One installation for all kill tests, and what its services said when one of them failed."""

from collections.abc import Generator, Iterator

import pytest
from stack import Stack

BATCH_ALONE = "airflow,stream-reader"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The batch path, started once: what one test has sent is there in the next."""
    with Stack(tmp_path_factory.mktemp("stack") / "state", without=BATCH_ALONE) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    running = getattr(item, "funcargs", {}).get("stack")
    if report.when == "call" and report.failed and isinstance(running, Stack):
        for command in ("status", "logs"):
            report.sections.append((f"pipeline {command}", running.pipeline(command, check=False).stdout))
    return report
