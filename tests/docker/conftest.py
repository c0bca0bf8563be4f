"""Every image once, built here; and the services in containers, each against real Kafka and LocalStack."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import engine
import pytest
from posts import write_generated
from service_containers import Cluster

EVENTS = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.docker)
            # A test that is cut off leaves its containers behind.
            item.add_marker(pytest.mark.timeout(1500))


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The image of each service, built from this checkout.

    Without an engine these tests are skipped; with DOCKER_REQUIRED=1 they fail.
    """
    if not engine.answers():
        if os.environ.get("DOCKER_REQUIRED") == "1":
            pytest.fail("DOCKER_REQUIRED=1, and no Docker engine with Compose answers")
        pytest.skip("no Docker engine with Compose answers")
    engine.build()
    known = json.loads(engine.compose("config", "--format", "json", environment={}).stdout)["services"]
    return {name: service["image"] for name, service in known.items()}


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated rows, as the files that the emitter takes."""
    folder = write_generated(tmp_path_factory.mktemp("raw"), EVENTS, seed=77)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def cluster(images: dict[str, str]) -> Iterator[Cluster]:
    """A network, and all long-running services in it, started one after the other when first asked for."""
    with ExitStack() as stack:
        yield stack.enter_context(Cluster(images))
