"""Tasks for the analyser's worker that end when a test lets them, and requests to its Jobs API."""

import json
import threading
from collections.abc import Mapping
from typing import Any

from batch_analyser.jobs.catalogue import ALL_TASKS
from batch_analyser.service.store import RunStore
from flask.testing import FlaskClient

DEADLINE_S = 5.0


class FakeTasks:
    """Tasks that end when the test lets them."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Mapping[str, str]]] = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()
        self.fail: str | None = None
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        """As Spark: what goes on ends with an error; what begins later does not."""
        self.cancelled.set()

    def all(self) -> Mapping[str, Any]:
        def task(name: str) -> Any:
            def run(parameters: Mapping[str, str]) -> str:
                self.begun.set()
                while not self.go.wait(0.01):
                    if self.cancelled.is_set():
                        self.cancelled.clear()
                        raise InterruptedError("job cancelled")
                if name == self.fail:
                    raise ValueError("no such luck")
                self.done.append((name, parameters))
                return json.dumps({"task": name})

            return run

        return {name: task(name) for name in ALL_TASKS}


def call(client: FlaskClient, method: str, path: str, body: object = None, token: str = "secret") -> Any:
    answer = client.open(f"/api{path}", method=method, json=body, headers={"Authorization": f"Bearer {token}"})
    return answer.get_json() | ({} if answer.status_code == 200 else {"status": answer.status_code})


def run_now(client: FlaskClient, **more: object) -> int:
    answer = call(client, "POST", "/2.2/jobs/run-now", {"job_id": "1", **more})
    return int(answer["run_id"])


def awaited(store: RunStore, run_id: int) -> None:
    waiting = threading.Event()
    for _ in range(int(DEADLINE_S / 0.01)):
        run = store.get(run_id)
        if run is not None and run.over:
            return
        waiting.wait(0.01)
    raise AssertionError("the run did not end in time")
