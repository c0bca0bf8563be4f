"""`airflow dags test`: the whole DAG in one process, against the live Jobs API."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dag_files import DAGS


def dags_test(home: Path, jobs_api: Any, conf: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW_CONN_DATABRICKS_DEFAULT": jobs_api.connection,
        "PIPELINE_POLL_S": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "test", "pinterest_batch", "--conf", conf],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_step_runs_its_task(airflow_home: Path, jobs_api: Any) -> None:
    done = dags_test(airflow_home, jobs_api, '{"always": true, "to": 2020, "audit": "full"}')
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert [line["task"] for line in jobs_api.done] == ["ingest", "clean", "audit", "answers", "upkeep"]
    parameters = jobs_api.done[2]["parameters"]
    assert parameters == {
        "to": "2020", "ties": "all", "median": "exact", "users": "persons", "audit": "full",
        "all_keys": "false", "replay": "false",
    }  # fmt: skip
    assert jobs_api.done[-1]["parameters"] == {}
