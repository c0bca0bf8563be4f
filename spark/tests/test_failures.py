"""What `runs/get-output` says of a failed task: the messages, and no trace of the JVM, Python or Rust."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_analyser.service.api import create_app
from batch_analyser.service.failures import told
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker
from fake_tasks import DEADLINE_S, FakeTasks, call, run_now
from hypothesis import given
from hypothesis import strategies as st
from pipeline_contracts.names import Names
from pydantic import SecretStr
from pyspark.sql import SparkSession
from service_kit.clock import ManualClock
from spark_session import spark_session
from waiting import wait_until

TRACE = re.compile(r"^\s*at [\w.$]+\(|\.\.\. \d+ more|Traceback|File \"|0x[0-9a-f]{6}|(stack|back)trace", re.MULTILINE)
_FRAMES = st.sampled_from(
    [
        "\tat org.apache.spark.sql.execution.SparkPlan.$anonfun$execute$1(SparkPlan.scala:207)",
        "\tat java.base/java.util.concurrent.ThreadPoolExecutor$Worker.run(Unknown Source)",
        "        at org.apache.spark.scheduler.Task.run(Task.scala:147)",
        "\t... 37 more",
        "\t... 12 common frames omitted",
        "Driver stacktrace:",
        "JVM stacktrace:",
        "stack backtrace:",
        "   7: 0x7f3a5b0c2d1e - tokio::runtime::task::raw::poll",
        "Traceback (most recent call last):",
        '  File "/opt/venv/lib/python3.13/site-packages/pyspark/worker.py", line 1982, in main\n    process()',
        "Suppressed: java.io.IOException: closed",
    ]
)
_MESSAGES = st.sampled_from(
    ["org.apache.spark.SparkException: Job aborted", "Caused by: java.io.IOException: No space left", "a full disk"]
)


@pytest.fixture
def spark() -> Iterator[SparkSession]:
    with spark_session() as session:
        yield session


@given(st.lists(st.tuples(st.booleans(), _MESSAGES, _FRAMES), max_size=12))
def test_messages_stay_and_traces_go(lines: list[tuple[bool, str, str]]) -> None:
    text = "\n".join(message if is_message else frame for is_message, message, frame in lines)
    said = told(RuntimeError(text))
    assert TRACE.search(said) is None
    assert "process()" not in said
    messages = {message for is_message, message, _ in lines if is_message}
    assert messages <= set(said.removeprefix("RuntimeError: ").split("\n"))
    assert len(said) <= 2_000


@pytest.mark.spark
def test_what_spark_says_reaches_a_user_without_its_traces(spark: SparkSession, tmp_path: Path) -> None:
    """A function of ours that fails in a Python worker; a query that the JVM refuses; one that fails in it."""

    def fails(batches: Iterator[Any]) -> Iterator[Any]:
        raise ValueError("no such luck")
        yield from batches

    failing: dict[str, Callable[[], Any]] = {
        "ingest": lambda: spark.range(1).mapInArrow(fails, "id long").collect(),
        "clean": lambda: spark.sql("select nothing from nowhere").collect(),
        "answers": lambda: spark.sql("select raise_error('no more luck')").collect(),
        "audit": lambda: spark._jvm.java.lang.Integer.parseInt("x"),  # type: ignore[union-attr]
    }

    def task(name: str) -> Any:
        def run(_: Mapping[str, str]) -> str:
            failing[name]()
            return ""

        return run

    store = RunStore(tmp_path / "runs.sqlite", ManualClock())
    worker = Worker(store, {**FakeTasks().all(), **{name: task(name) for name in failing}}, 4)
    client = create_app(store, worker, Names("x"), SecretStr("secret"), "http://here").test_client()
    worker.start(first=lambda: None)
    wanted = {
        "ingest": "no such luck",
        "clean": "TABLE_OR_VIEW_NOT_FOUND",
        "answers": "no more luck",
        "audit": 'For input string: "x"',
    }
    for name, message in wanted.items():
        run_id = run_now(client, only=[name])
        wait_until(f"the run of {name} ends", lambda run_id=run_id: (found := store.get(run_id)) and found.over)  # type: ignore[misc]
        run = call(client, "GET", f"/2.2/jobs/runs/get?run_id={run_id}")
        output = call(client, "GET", f"/2.2/jobs/runs/get-output?run_id={run_id}")
        assert message in output["error"]
        for document in (run, output):
            assert TRACE.search(str(document).replace("\\n", "\n")) is None, document
    assert worker.stop(DEADLINE_S)
    store.close()
