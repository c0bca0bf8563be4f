"""What the tests on containers conclude from Docker's words, without Docker."""

from typing import Any

import pytest
from engine import harmed


def container(service: str, *, restarts: int = 0, out_of_memory: bool = False) -> dict[str, Any]:
    return {
        "Config": {"Labels": {"com.docker.compose.service": service}},
        "State": {"OOMKilled": out_of_memory},
        "RestartCount": restarts,
    }


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([container("kafka"), container("proxy", restarts=1)], []),
        ([container("kafka", restarts=2)], ["kafka died, and was started again 2 times"]),
        ([container("proxy", restarts=1, out_of_memory=True)], ["proxy was out of memory"]),
        ([container("airflow", out_of_memory=True)], ["airflow was out of memory"]),
    ],
)
def test_a_death_that_docker_hides_is_found(found: list[dict[str, Any]], said: list[str]) -> None:
    assert harmed(found, {"proxy"}) == said
