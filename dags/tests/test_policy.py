"""Rules for every DAG of this folder."""

import ast
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator
from dag_files import DAGS, load

FILES = sorted(DAGS.glob("*.py"))
OWNERS = {"data-platform"}
TAGS = {"batch", "stream", "databricks"}
CLOCKS = {"now", "utcnow", "today", "time"}
AT_IMPORT = {"get_connection", "urlopen", "client", "connect", "request", "get_variable"}


@pytest.fixture(scope="module", params=FILES, ids=lambda file: file.stem)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)[0]


def calls(source: str, names: set[str]) -> list[int]:
    """The lines that call one of these functions, or a method of such a name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in names:
                found.append(node.lineno)
    return found


def test_there_are_dags() -> None:
    assert FILES


def test_one_dag_a_file_named_after_the_deployment(module: ModuleType) -> None:
    assert module.dag.dag_id == f"pinterest_{Path(module.__file__ or '').stem}"


def test_the_deployments_name_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_ID", "other")
    dag = load(DAGS / "batch.py")[0].dag
    assert dag.dag_id == "other_batch"
    assert {task.json["job_name"] for task in dag.tasks if isinstance(task, DatabricksRunNowOperator)} == {
        "other-batch", "other-upkeep",
    }  # fmt: skip


def test_owner_tags_and_a_runbook(module: ModuleType) -> None:
    dag = module.dag
    assert {task.owner for task in dag.tasks} <= OWNERS
    assert dag.tags
    assert set(dag.tags) <= TAGS
    assert dag.description
    assert "## When it fails" in dag.doc_md
    assert "by hand" in dag.doc_md
    assert all(f"`{task.task_id}`" in dag.doc_md for task in dag.tasks)
    assert all(f"`{name}`" in dag.doc_md for name in dag.params)


def test_it_ends_and_is_tried_again(module: ModuleType) -> None:
    dag = module.dag
    assert dag.dagrun_timeout is not None
    for task in dag.tasks:
        assert 1 <= task.retries <= 5, task.task_id
        assert task.retry_delay >= timedelta(seconds=10), task.task_id
        assert task.execution_timeout is not None, task.task_id
        assert task.execution_timeout < dag.dagrun_timeout, task.task_id


def test_one_run_at_a_time_and_none_for_the_past(module: ModuleType) -> None:
    dag = module.dag
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.start_date is None
    assert dag.timetable.run_immediately == timedelta(0)


def test_each_try_starts_one_run(module: ModuleType) -> None:
    """A token of its own for each try, short enough for Databricks; and no deferring, see the runbook of the DAG."""
    steps = [task for task in module.dag.tasks if isinstance(task, DatabricksRunNowOperator)]
    assert steps
    for task in steps:
        assert task.deferrable is False
        assert "job_id" not in task.json
        token = task.json["idempotency_token"]
        assert {"ti.id", "ti.try_number"} <= set(token.replace("{{", " ").replace("}}", " ").split())
        longest = token.replace("{{ ti.id }}", "x" * 36).replace("{{ ti.try_number }}", "99999")
        assert len(longest) <= 64


def test_the_order_of_the_steps() -> None:
    dag = load(DAGS / "batch.py")[0].dag
    chain = ["sense", "ingest", "clean", "audit", "answers", "upkeep"]
    assert [task.task_id for task in dag.topological_sort()] == chain
    for before, after in pairwise(chain):
        assert dag.get_task(before).downstream_task_ids == {after}
    for step in ("ingest", "clean", "audit", "answers"):
        assert dag.get_task(step).json["only"] == [step]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_clock_and_no_work_at_import(file: Path) -> None:
    source = file.read_text()
    assert calls(source, CLOCKS) == []
    outside = [node for node in ast.parse(source).body if not isinstance(node, ast.FunctionDef)]
    functions = [
        node for part in outside for node in ast.walk(part) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inside = {line for one in functions for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)}
    assert set(calls(source, AT_IMPORT)) <= inside
    assert load(file)[1] < 2.0, "seconds of one processor, with Airflow itself imported already"


@pytest.mark.parametrize(
    ("source", "names"),
    [("import datetime\ndatetime.datetime.now()", CLOCKS), ("from boto3 import client\nclient('s3')", AT_IMPORT)],
)
def test_the_search_finds_what_it_looks_for(source: str, names: set[str]) -> None:
    assert calls(source, names) == [2]
