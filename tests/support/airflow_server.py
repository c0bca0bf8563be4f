"""A real Airflow for tests, with the environment of ``compose.yaml``, beside any Jobs API."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from jobs_api_server import TOKEN
from pipeline_local import descendants, processes
from pipeline_local.airflow_client import AirflowClient, DagRun
from pipeline_local.command import Command
from pipeline_local.layout import Layout
from pipeline_local.supervision import probes
from pipeline_local.topology import Topology, read_topology, read_variables
from servers import Server, free_port
from waiting import wait_until

ROOT = Path(__file__).parents[2]


class JobsApi(Server):
    """The analyser's Jobs API with steered tasks, see ``jobs_api_server.py``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    def command(self) -> Command:
        script = str(Path(__file__).with_name("jobs_api_server.py"))
        return Command([sys.executable, script, str(self.port), str(self.folder)])

    def answers(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=5).status == 200)
        except OSError:
            return False

    def steer(self, **orders: str) -> None:
        """What each task does from now on; all others end well. Forgets what was done."""
        (self.folder / "control.json").write_text(json.dumps(orders))
        (self.folder / "done.jsonl").unlink(missing_ok=True)

    @property
    def done(self) -> list[tuple[str, str]]:
        """Each task that began to hang or was done, in order."""
        file = self.folder / "done.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [(line["task"], line["ended"]) for line in lines]

    def runs(self) -> list[dict[str, Any]]:
        """All runs with their tasks, newest first."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/2.2/jobs/runs/list?expand_tasks=true")
        request.add_header("Authorization", f"Bearer {TOKEN}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            runs: list[dict[str, Any]] = json.load(answer)["runs"]
            return runs


class Airflow(Server):
    """The service of ``compose.yaml`` as the runner starts it."""

    start_deadline_s = 180

    def __init__(self, folder: Path, jobs_api: JobsApi) -> None:
        super().__init__(folder)
        self.port = free_port()
        ports = {"AIRFLOW_PORT": str(self.port), "ANALYSER_PORT": str(jobs_api.port), "ANALYSER_TOKEN": TOKEN}
        self._topology: Topology = read_topology(ROOT / "compose.yaml", read_variables(ROOT / ".env", ports))
        self._probe = probes.probe(self._topology["airflow"])
        self.client = AirflowClient(f"http://127.0.0.1:{self.port}")

    def command(self) -> Command:
        return processes.command(os.environ, Layout(ROOT, self.folder), self._topology["airflow"])

    def answers(self) -> bool:
        return self._probe().ready

    def mark_as_failed(self, dag_id: str, run: DagRun, task: str) -> None:
        """Mark a task as a person does in the page; one that runs is ended. Blocks for a minute at most.

        Airflow 3.2.1 waits for SQLite's lock in its event loop, which another request needs before it can give the lock
        back: after five seconds it answers 500, with nothing done. So that is asked again.
        """
        place = f"dags/{quote(dag_id)}/dagRuns/{quote(run.run_id)}/taskInstances/{quote(task)}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v2/{place}", method="PATCH")
        request.data = json.dumps({"new_state": "failed"}).encode()
        request.add_header("Content-Type", "application/json")

        def is_marked() -> bool:
            try:
                with urllib.request.urlopen(request, timeout=30):
                    return True
            except urllib.error.HTTPError as error:
                if error.code != 500:
                    raise
                return False

        wait_until("it is marked", is_marked)

    @property
    def memory_bytes(self) -> int:
        """Of every process of it; shared pages are counted in parts."""
        return sum(process.memory_full_info().pss for process in descendants.of(str(self.folder)))

    def listening(self) -> set[str]:
        """The addresses it listens on."""
        return {
            connection.laddr.ip
            for process in descendants.of(str(self.folder))
            for connection in process.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    def command_line(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One ``airflow`` command beside the running one, with the same settings."""
        service = self.command()
        home = Path(service.env["AIRFLOW_HOME"])
        secrets = json.loads((home / "secrets.json").read_text())
        python = str(Layout.of_checkout().airflow_venv / "bin" / "python")
        return subprocess.run(
            [python, "-m", "airflow", *arguments],
            env={**os.environ, **service.env, **secrets},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
