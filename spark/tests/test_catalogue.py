import json
from typing import Any, cast

import pytest
from batch_analyser.jobs import answers, catalogue
from batch_analyser.jobs.answers import AnswersReport
from batch_analyser.settings import AnalyserSettings
from pipeline_transforms.answers import Policies
from pyspark.sql import SparkSession

SETTINGS = AnalyserSettings.model_validate({"LAKE_URI": "file:///nowhere"})
NO_SESSION = cast("SparkSession", None)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str | Policies]:
    """What the task ``answers`` did: ``stored``, or the policies that it computed by."""
    done: list[str | Policies] = []

    def run(*_: object) -> AnswersReport:
        done.append("stored")
        return AnswersReport("run")

    def compute(_spark: object, _settings: object, policies: Policies) -> dict[str, Any]:
        done.append(policies)
        return {}

    monkeypatch.setattr(answers, "run", run)
    monkeypatch.setattr(answers, "compute", compute)
    return done


def ran(**parameters: str) -> dict[str, Any]:
    checked = catalogue.check_parameters(parameters)
    report: dict[str, Any] = json.loads(catalogue.run_task(NO_SESSION, SETTINGS, "answers", checked))
    return report


def test_answers_are_stored_and_those_of_other_policies_put_beside(calls: list[str | Policies]) -> None:
    assert "answers" not in ran()
    assert "answers" not in ran(ties="all", store="true")
    assert "answers" in ran(ties="first")
    assert calls == ["stored", "stored", "stored", Policies(ties="first")]


@pytest.mark.parametrize("ties", ["all", "first"])
def test_answers_that_are_looked_at_alone_store_nothing(calls: list[str | Policies], ties: str) -> None:
    """They are of rows that no audit may have seen yet."""
    report = ran(ties=ties, store="false")
    assert (report["policies"]["ties"], report["answers"]) == (ties, {})
    assert [getattr(one, "ties", one) for one in calls] == [ties]
