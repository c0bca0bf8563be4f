"""What the tests of this folder share. They run with Airflow on MWAA's Python; the Jobs API in the project's own."""

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

ROOT = Path(__file__).parents[2]
TOKEN = "for-this-test-only"


class JobsApi:
    """The analyser's Jobs API with steered tasks, see ``tests/support/jobs_api_server.py``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.token = TOKEN
        self.url = f"http://127.0.0.1:{self.port}"
        self.connection = f"databricks://:{TOKEN}@127.0.0.1:{self.port}/http"

    def start(self) -> None:
        script = ROOT / "tests" / "support" / "jobs_api_server.py"
        python = ROOT / ".venv" / "bin" / "python"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [python, script, str(self.port), str(self.folder)], env=clean, stdout=log, stderr=log
            )
        wait_until("the Jobs API answers", self._answers)

    def stop(self) -> None:
        self._child.kill()
        self._child.wait()

    def steer(self, **orders: str) -> None:
        """What each task does from now on; all others end well. Forgets what was done."""
        (self.folder / "control.json").write_text(json.dumps(orders))
        (self.folder / "done.jsonl").unlink(missing_ok=True)

    @property
    def done(self) -> list[dict[str, Any]]:
        file = self.folder / "done.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _answers(self) -> bool:
        assert self._child.poll() is None, (self.folder / "log").read_text()
        try:
            return bool(urllib.request.urlopen(f"{self.url}/livez", timeout=5).status == 200)
        except OSError:
            return False


@pytest.fixture(scope="session")
def jobs_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsApi]:
    server = JobsApi(tmp_path_factory.mktemp("jobs-api"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def steered(jobs_api: JobsApi) -> None:
    jobs_api.steer()


@pytest.fixture
def connection(jobs_api: JobsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_DEFAULT", jobs_api.connection)


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty database, which the laptop's Airflow, of the same version, was set up with."""
    home = tmp_path_factory.mktemp("airflow")
    shutil.copy(ROOT / ".pipeline" / "tools" / "airflow" / "airflow.db", home)
    return home


def pytest_configure() -> None:
    """Before anything imports Airflow, which makes its folder while it is imported."""
    os.environ["AIRFLOW_HOME"] = str(ROOT / ".cache" / "tests" / "airflow")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "false"
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
    os.environ["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] = "false"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "dags")
