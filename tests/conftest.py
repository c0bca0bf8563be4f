"""Fixtures for tests against real servers. Each is started once per run; use names of your own in them."""

from collections.abc import Iterator

import pytest
from servers import Kafka, LocalStack


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A real broker, empty at first. Do not stop it; start your own ``Kafka(folder)`` for outages."""
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A real LocalStack, empty at first. Do not stop it; start your own ``LocalStack(folder)`` for outages."""
    with LocalStack(tmp_path_factory.mktemp("localstack")) as server:
        yield server


@pytest.fixture(autouse=True)
def local_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """LocalStack takes any key; none of the machine's own may be used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
