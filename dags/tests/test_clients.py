"""Databricks' official clients against our Jobs API: what each call sends and which fields it reads.

The table is `docs/airflow.md`'s; a call that a client cannot make, or an answer that it cannot read, fails here.
"""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.databricks.hooks.databricks import DatabricksHook, RunLifeCycleState
from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator, DatabricksSubmitRunOperator
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import BadRequest, ResourceDoesNotExist, TooManyRequests, Unauthenticated
from databricks.sdk.service.jobs import (
    PythonWheelTask,
    RunResultState,
    RunType,
    SubmitTask,
)
from databricks.sdk.service.jobs import (
    RunLifeCycleState as SdkLifeCycle,
)

WHEEL = {"package_name": "pinterest-data-pipeline", "entry_point": "batch_analyser_task"}
SOON = timedelta(seconds=30)


@pytest.fixture
def hook(connection: None) -> DatabricksHook:
    return DatabricksHook(retry_limit=2, retry_delay=0)


@pytest.fixture
def sdk(jobs_api: Any) -> WorkspaceClient:
    return WorkspaceClient(config=Config(host=jobs_api.url, token=jobs_api.token, retry_timeout_seconds=1))


def awaited(hook: DatabricksHook, run_id: int) -> dict[str, Any]:
    """The run as soon as it is over."""
    for _ in range(600):
        if hook.get_run_state(run_id).is_terminal:
            found: dict[str, Any] = hook.get_run(run_id)
            return found
        asyncio.run(asyncio.sleep(0.05))
    raise AssertionError("the run did not end")


def test_hook_runs_a_job_by_name(hook: DatabricksHook, jobs_api: Any) -> None:
    job_id = hook.find_job_id_by_name("pinterest-batch")
    assert [job["settings"]["name"] for job in hook.list_jobs()] == ["pinterest-batch", "pinterest-upkeep"]
    run_id = hook.run_now({"job_id": str(job_id), "only": ["clean"], "job_parameters": {"replay": "true"}})
    run = awaited(hook, run_id)
    assert [task["task_key"] for task in run["tasks"]] == ["clean"]
    assert jobs_api.done == [{"task": "clean", "ended": "done", "parameters": {"replay": "true"}}]
    assert hook.get_run_page_url(run_id) == f"{jobs_api.url}/runs/{run_id}"
    assert hook.get_job_id(run_id) == job_id
    state = hook.get_run_state(run_id)
    assert (state.life_cycle_state, state.is_successful) == (RunLifeCycleState.TERMINATED.value, True)


def test_hook_waits_without_blocking(hook: DatabricksHook) -> None:
    """These send the run's id in the body of a GET."""
    run_id = hook.run_now({"job_id": 1, "only": ["ingest"]})
    awaited(hook, run_id)

    async def ask() -> tuple[Any, ...]:
        async with hook:
            return (
                await hook.a_get_run_state(run_id),
                await hook.a_get_run(run_id),
                await hook.a_get_run_page_url(run_id),
            )

    state, run, page = asyncio.run(ask())
    assert state.is_successful
    assert run["run_id"] == run_id
    assert page.endswith(f"/runs/{run_id}")


def test_hook_cancels(hook: DatabricksHook, jobs_api: Any) -> None:
    jobs_api.steer(ingest="hang")
    run_id = hook.run_now({"job_id": 1})
    while not jobs_api.done:
        asyncio.run(asyncio.sleep(0.05))
    waiting = hook.run_now({"job_id": 1})
    hook.cancel_run(run_id)
    assert awaited(hook, run_id)["state"]["result_state"] == "CANCELED"
    hook.cancel_all_runs(1)
    assert awaited(hook, waiting)["state"]["result_state"] == "CANCELED"


class TaskInstance:
    """What the operators ask of it."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def test_run_now_operator(connection: None, jobs_api: Any) -> None:
    instance = TaskInstance()
    task = DatabricksRunNowOperator(
        task_id="x", job_name="pinterest-upkeep", idempotency_token="a-1", polling_period_seconds=1
    )
    task.execute({"ti": instance})  # type: ignore[typeddict-item]
    again = DatabricksRunNowOperator(
        task_id="x", job_name="pinterest-upkeep", idempotency_token="a-1", polling_period_seconds=1
    )
    again.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]
    assert [line["task"] for line in jobs_api.done] == ["upkeep"], "the second found the first one's run"
    assert instance.pushed["run_id"] == task.run_id == again.run_id
    assert instance.pushed["run_page_url"] == f"{jobs_api.url}/runs/{task.run_id}"


def test_run_now_operator_fails_with_the_tasks_error(connection: None, jobs_api: Any) -> None:
    jobs_api.steer(clean="fail")
    task = DatabricksRunNowOperator(task_id="x", job_name="pinterest-batch", polling_period_seconds=1)
    with pytest.raises(AirflowException, match="ValueError: no such luck"):
        task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]


def test_run_now_operator_repairs_a_run(connection: None, jobs_api: Any) -> None:
    """The provider runs what failed once more, and then raises with the first error, whatever came of it."""
    jobs_api.steer(clean="fail")
    instance = TaskInstance()
    task = DatabricksRunNowOperator(
        task_id="x",
        job_name="pinterest-batch",
        polling_period_seconds=1,
        repair_run=True,
        job_parameters={"ties": "all"},
    )
    with pytest.raises(AirflowException, match="ValueError: no such luck"):
        task.execute({"ti": instance})  # type: ignore[typeddict-item]
    history = DatabricksHook()._do_api_call(
        ("GET", "2.2/jobs/runs/get"), {"run_id": instance.pushed["run_id"], "include_history": "true"}
    )["repair_history"]
    assert [(item["type"], item["state"]["result_state"]) for item in history] == [
        ("ORIGINAL", "FAILED"),
        ("REPAIR", "FAILED"),
    ]
    assert DatabricksHook().get_latest_repair_id(instance.pushed["run_id"]) == history[-1]["id"]


def test_run_now_operator_cancels_previous_runs(connection: None, jobs_api: Any, hook: DatabricksHook) -> None:
    jobs_api.steer(ingest="hang")
    before = hook.run_now({"job_id": 1})
    while not jobs_api.done:
        asyncio.run(asyncio.sleep(0.05))
    jobs_api.steer()
    task = DatabricksRunNowOperator(task_id="x", job_id=1, polling_period_seconds=1, cancel_previous_runs=True)
    task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]
    assert awaited(hook, before)["state"]["result_state"] == "CANCELED"
    assert [line["task"] for line in jobs_api.done] == ["ingest", "clean", "answers", "audit"]


@pytest.mark.parametrize(
    "more",
    [
        {"notebook_params": {"a": "b"}}, {"python_params": ["a"]}, {"python_named_params": {"ties": "first"}},
        {"jar_params": ["a"]}, {"spark_submit_params": ["a"]}, {"dbt_commands": ["a"]},
    ],
)  # fmt: skip
def test_run_now_operator_with_parameters_of_other_tasks_is_told_which(
    connection: None, jobs_api: Any, more: dict[str, Any]
) -> None:
    task = DatabricksRunNowOperator(task_id="x", job_name="pinterest-batch", polling_period_seconds=1, **more)
    with pytest.raises(AirflowException, match=f"'{next(iter(more))}' is not supported"):
        task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]
    assert jobs_api.done == []


def test_submit_operator_of_one_task_is_told_the_form(connection: None, jobs_api: Any) -> None:
    """As the course's DAG, and most others of it, send it."""
    task = DatabricksSubmitRunOperator(
        task_id="x", existing_cluster_id="1108-162752-8okw8dgg", notebook_task={"notebook_path": "/Users/x"}
    )
    with pytest.raises(AirflowException, match=r"own wheel alone: give 'tasks'"):
        task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]


def test_submit_operator_times_out(connection: None, jobs_api: Any) -> None:
    jobs_api.steer(clean="hang")
    tasks = [{"task_key": "clean", "python_wheel_task": WHEEL}]
    task = DatabricksSubmitRunOperator(task_id="x", tasks=tasks, timeout_seconds=1, polling_period_seconds=1)
    with pytest.raises(AirflowException, match="TIMEDOUT"):
        task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]


def test_submit_operator_orders_tasks_by_their_dependencies(connection: None, jobs_api: Any) -> None:
    tasks = [
        {"task_key": "clean", "python_wheel_task": WHEEL, "depends_on": [{"task_key": "ingest"}]},
        {"task_key": "ingest", "python_wheel_task": WHEEL},
    ]
    task = DatabricksSubmitRunOperator(task_id="x", tasks=tasks, polling_period_seconds=1)
    task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]
    assert [line["task"] for line in jobs_api.done] == ["ingest", "clean"]


def test_submit_operator_sends_numbers_as_texts(connection: None, jobs_api: Any) -> None:
    tasks = [{"task_key": "clean", "python_wheel_task": {**WHEEL, "named_parameters": {"replay": True}}}]
    task = DatabricksSubmitRunOperator(
        task_id="x", tasks=tasks, run_name="by hand", timeout_seconds=60, polling_period_seconds=1
    )
    task.json["tasks"][0]["python_wheel_task"]["named_parameters"]["replay"] = "true"
    task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]
    assert jobs_api.done == [{"task": "clean", "ended": "done", "parameters": {"replay": "true"}}]


def test_sdk_runs_and_shows_a_job(sdk: WorkspaceClient, jobs_api: Any) -> None:
    (job,) = sdk.jobs.list(name="pinterest-batch", expand_tasks=True)
    assert job.settings is not None
    assert job.settings.tasks is not None
    assert [task.task_key for task in job.settings.tasks] == ["ingest", "clean", "answers", "audit"]
    assert job.job_id is not None
    assert sdk.jobs.get(job.job_id).settings is not None
    waiter = sdk.jobs.run_now(job.job_id, only=["answers"], job_parameters={"ties": "first"}, idempotency_token="s-1")
    run = waiter.result(SOON)
    assert run.state is not None
    assert (run.state.life_cycle_state, run.state.result_state) == (SdkLifeCycle.TERMINATED, RunResultState.SUCCESS)
    assert run.run_id == sdk.jobs.run_now(job.job_id, idempotency_token="s-1").run_id
    assert run.tasks is not None
    output = sdk.jobs.get_run_output(run.tasks[0].run_id or 0)
    assert json.loads(output.logs or "") == {"task": "answers"}
    assert jobs_api.done[-1]["parameters"] == {"ties": "first"}


def test_sdk_lists_all_pages(sdk: WorkspaceClient) -> None:
    started = [sdk.jobs.run_now(2).result(SOON).run_id for _ in range(4)]
    listed = [run.run_id for run in sdk.jobs.list_runs(job_id=2, limit=2, completed_only=True)]
    assert listed[:4] == started[::-1]
    assert list(sdk.jobs.list_runs(active_only=True)) == []


def test_sdk_filters_runs(sdk: WorkspaceClient) -> None:
    of_job = sdk.jobs.run_now(2).result(SOON)
    wheel = PythonWheelTask(**WHEEL)
    submitted = sdk.jobs.submit(tasks=[SubmitTask(task_key="ingest", python_wheel_task=wheel)]).result(SOON)
    since = of_job.start_time or 0
    found = {kind: [run.run_id for run in sdk.jobs.list_runs(run_type=kind, start_time_from=since)] for kind in RunType}
    assert of_job.run_id in found[RunType.JOB_RUN]
    assert submitted.run_id in found[RunType.SUBMIT_RUN]
    assert found[RunType.WORKFLOW_RUN] == []
    assert list(sdk.jobs.list_runs(start_time_to=1)) == []


def test_sdk_repairs(sdk: WorkspaceClient, jobs_api: Any) -> None:
    jobs_api.steer(clean="fail")
    run_id = sdk.jobs.run_now(1, only=["ingest", "clean", "audit"]).run_id
    sdk.jobs.wait_get_run_job_terminated_or_skipped(run_id, SOON)
    jobs_api.steer()
    run = sdk.jobs.repair_run(run_id, rerun_all_failed_tasks=True).result(SOON)
    assert run.state is not None
    assert run.state.result_state == RunResultState.SUCCESS
    assert [line["task"] for line in jobs_api.done] == ["clean", "audit"]
    history = sdk.jobs.get_run(run_id, include_history=True).repair_history
    assert history is not None
    assert [item.type.value for item in history if item.type] == ["ORIGINAL", "REPAIR"]
    with pytest.raises(BadRequest, match="latest_repair_id"):
        sdk.jobs.repair_run(run_id, rerun_tasks=["ingest"])


def test_sdk_is_told_what_is_not_done(sdk: WorkspaceClient, jobs_api: Any) -> None:
    with pytest.raises(BadRequest, match="'notebook_params' is not supported"):
        sdk.jobs.run_now(1, notebook_params={"a": "b"})
    with pytest.raises(BadRequest, match="'only' names no task"):
        sdk.jobs.run_now(1, only=[])
    wheel = PythonWheelTask(**WHEEL)
    twice = [SubmitTask(task_key="clean", python_wheel_task=wheel)] * 2
    with pytest.raises(BadRequest, match="'clean' is there twice"):
        sdk.jobs.submit(tasks=twice)
    assert jobs_api.done == []


def test_sdk_cancels_and_waits(sdk: WorkspaceClient, jobs_api: Any) -> None:
    jobs_api.steer(upkeep="hang")
    run_id = sdk.jobs.run_now(2).run_id
    run = sdk.jobs.cancel_run_and_wait(run_id, SOON)
    assert run.state is not None
    assert run.state.result_state == RunResultState.CANCELED
    assert run.state.state_message == "Run cancelled."


def test_sdk_submits(sdk: WorkspaceClient, jobs_api: Any) -> None:
    wheel = PythonWheelTask(**WHEEL, named_parameters={"task": "ingest", "all_keys": "true"})
    run = sdk.jobs.submit(run_name="once", tasks=[SubmitTask(task_key="one", python_wheel_task=wheel)]).result(SOON)
    assert run.run_type == RunType.SUBMIT_RUN
    assert jobs_api.done == [{"task": "ingest", "ended": "done", "parameters": {"all_keys": "true"}}]


def test_sdk_reads_our_errors(sdk: WorkspaceClient, jobs_api: Any) -> None:
    with pytest.raises(ResourceDoesNotExist, match="Job 9 does not exist"):
        sdk.jobs.get(9)
    with pytest.raises(Unauthenticated):
        WorkspaceClient(host=jobs_api.url, token="other-token").jobs.get(1)
    jobs_api.steer(ingest="hang")
    first = sdk.jobs.run_now(1).run_id
    for _ in range(16):
        sdk.jobs.run_now(1)
    with pytest.raises((TooManyRequests, TimeoutError)):
        _ = [sdk.jobs.run_now(1) for _ in range(2)]
    sdk.jobs.cancel_all_runs(job_id=1)
    sdk.jobs.wait_get_run_job_terminated_or_skipped(first, SOON)
