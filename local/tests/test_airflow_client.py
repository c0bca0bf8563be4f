import pytest
from pipeline_local.airflow_client import TaskRun

DOCUMENT = {"task_id": "clean", "state": "success", "try_number": 1, "duration": -42.7}


@pytest.mark.parametrize(
    ("began", "ended", "seconds"),
    [
        ("2026-05-01T07:43:52.500Z", "2026-05-01T07:44:01.750Z", 9.25),  # over a minute's end
        ("2026-05-01T07:44:01.000000Z", "2026-05-01T07:44:01Z", 0.0),
        ("2026-05-01T07:43:52Z", None, 0.0),
        (None, None, 0.0),
    ],
)
def test_seconds_are_those_between_begin_and_end(began: str | None, ended: str | None, seconds: float) -> None:
    task = TaskRun.of({**DOCUMENT, "start_date": began, "end_date": ended})
    assert task == TaskRun("clean", "success", 1, seconds)


def test_a_task_that_waits_has_no_state() -> None:
    assert TaskRun.of({**DOCUMENT, "state": None, "start_date": None, "end_date": None}).state == ""
