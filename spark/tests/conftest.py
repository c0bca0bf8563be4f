"""The analyser's worker and Jobs API on tasks that a test steers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_analyser.service.api import create_app
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker
from fake_tasks import DEADLINE_S, FakeTasks
from flask.testing import FlaskClient
from pipeline_contracts.names import Names
from pydantic import SecretStr
from service_kit.clock import ManualClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    opened = RunStore(tmp_path / "state" / "runs.sqlite", ManualClock())
    yield opened
    opened.close()


@pytest.fixture
def tasks() -> FakeTasks:
    return FakeTasks()


@pytest.fixture
def worker(store: RunStore, tasks: FakeTasks) -> Iterator[Worker]:
    started = Worker(store, tasks.all(), 2, tasks.cancel)
    started.start(first=lambda: None)
    yield started
    tasks.go.set()
    started.stop(DEADLINE_S)


@pytest.fixture
def client(store: RunStore, worker: Worker) -> FlaskClient:
    return create_app(store, worker, Names("x"), SecretStr("secret"), "http://here").test_client()
