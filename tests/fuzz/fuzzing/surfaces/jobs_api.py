"""The analyser's Jobs API, with its token and without."""

import random
from typing import Any

from fuzzing import odd
from fuzzing.place import Place
from fuzzing.request import Request
from fuzzing.web import Target, WebSurface, coded

GETS = (
    "list?name=pinterest-batch&limit=5&offset=0&expand_tasks=true", "get?job_id=1", "runs/get?run_id=1",
    "runs/list?job_id=1&active_only=true&limit=3", "runs/list?completed_only=true&page_token=next:5",
    "runs/get-output?run_id=1",
)  # fmt: skip


def surface(place: Place) -> WebSurface:
    """What the official clients send. Runs are started, and cancelled again."""
    token = ("Authorization", f"Bearer {place.analyser_token}")
    seeds: list[Any] = []
    for headers in ((token,), (token,), ()):
        for version in ("2.1", "2.2"):
            base = f"/api/{version}/jobs"
            seeds += [(Request("GET", f"{base}/{path}", headers), None) for path in GETS]
            json = (*headers, ("Content-Type", "application/json"))
            seeds += [
                (Request("POST", f"{base}/run-now", json), run_now),
                (Request("POST", f"{base}/runs/submit", json), submit),
                (Request("POST", f"{base}/runs/cancel", json), one_run),
                (Request("POST", f"{base}/runs/cancel-all", json), every_run),
                (Request("POST", f"{base}/runs/cancel-all", json), every_run),
                (Request("POST", f"{base}/runs/repair", json), repair),
            ]
    seeds += [(Request("GET", path), None) for path in ("/", "/v1/runs?limit=3", "/openapi.json")]
    return WebSurface(Target(place.urls["analyser"], coded, place.secrets), seeds, pause_s=0.05)


def run_now(chance: random.Random) -> dict[str, Any]:
    """A run of a job, by policies."""
    policies = {name: odd.text(chance) for name in chance.sample(("ties", "median", "users", "from", "to"), 2)}
    return {
        "job_id": chance.choice((1, 2, 1)),
        "job_parameters": chance.choice(({}, {"ties": "first"}, policies)),
        "idempotency_token": chance.choice(("a", "b", odd.text(chance))),
        "only": chance.choice((["ingest"], ["answers"], ["audit"], [odd.text(chance)])),
    }


def submit(chance: random.Random) -> dict[str, Any]:
    """A run of tasks of its own."""
    keys = ("ingest", "clean", chance.choice(("audit", "answers", odd.text(chance))))
    wheel = {"package_name": "pinterest-data-pipeline", "entry_point": "batch_analyser_task"}
    tasks = [
        {"task_key": key, "depends_on": [{"task_key": before}] if before else [], "python_wheel_task": wheel}
        for before, key in zip(("", *keys), keys, strict=False)
    ]
    return {"run_name": odd.text(chance), "tasks": tasks, "timeout_seconds": chance.choice((0, 60, -1))}


def one_run(chance: random.Random) -> dict[str, Any]:
    """Any run."""
    return {"run_id": chance.randrange(1, 40)}


def every_run(chance: random.Random) -> dict[str, Any]:
    """All runs of a job."""
    return {"job_id": chance.choice((1, 2)), "all_queued_runs": chance.random() < 0.5}


def repair(chance: random.Random) -> dict[str, Any]:
    """A run once more."""
    return {"run_id": chance.randrange(1, 40), "rerun_tasks": ["clean"], "latest_repair_id": chance.randrange(3)}
