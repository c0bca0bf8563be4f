"""The analyser's real Jobs API, with tasks that a test steers: ``python jobs_api_server.py PORT FOLDER``.

``FOLDER/control.json`` maps a task to ``fail`` or ``hang`` (until cancelled); each task that ends is a line of
``FOLDER/done.jsonl``. Run by the project's own interpreter; its clients live in another environment.
"""

import json
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from batch_analyser.jobs.catalogue import ALL_TASKS
from batch_analyser.service.api import create_app
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import CRASHED, Task, Worker
from pipeline_contracts.names import Names
from pydantic import SecretStr
from service_kit.clock import SystemClock
from service_kit.ops import Ops
from werkzeug.serving import make_server

TOKEN = "for-this-test-only"
ERROR = "ValueError: no such luck"


def steered(folder: Path, cancelled: threading.Event, name: str) -> Task:
    def run(parameters: Mapping[str, str]) -> str:
        control = folder / "control.json"
        order = json.loads(control.read_text()).get(name) if control.exists() else None
        ended = "done"
        if order == "fail":
            raise ValueError("no such luck")
        if order == "hang":
            with (folder / "done.jsonl").open("a") as done:
                done.write(json.dumps({"task": name, "ended": "hangs"}) + "\n")
            cancelled.clear()
            cancelled.wait()
            raise InterruptedError("job cancelled")
        with (folder / "done.jsonl").open("a") as done:
            done.write(json.dumps({"task": name, "ended": ended, "parameters": dict(parameters)}) + "\n")
        return json.dumps({"task": name})

    return run


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    cancelled = threading.Event()
    store = RunStore(folder / "runs.sqlite", SystemClock())
    store.end_unfinished(CRASHED)
    worker = Worker(store, {name: steered(folder, cancelled, name) for name in ALL_TASKS}, 16, cancelled.set)
    worker.start(first=lambda: None)
    app = create_app(store, worker, Names("pinterest"), SecretStr(TOKEN), f"http://127.0.0.1:{port}")
    make_server("127.0.0.1", port, Ops("analyser", {}).in_front_of(app.wsgi_app), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
