import os
from pathlib import Path

import pytest
from pipeline_local.topology import TopologyError, read_topology, read_variables

ROOT = Path(__file__).parents[2]
COMPOSE = """
services:
  proxy:
    ports: ["127.0.0.1:${PROXY_PORT}:8082"]
    environment: {KAFKA: "kafka:9092,other-kafka:1", URL: "http://proxy:8082/topics", N: 3}
    depends_on: {kafka: {condition: service_healthy}}
  kafka:
    ports: ["127.0.0.1:${KAFKA_PORT}:19092"]
  job:
    profiles: [send]
    depends_on: {proxy: {condition: service_healthy}}
"""
VARIABLES = {"PROXY_PORT": "8001", "KAFKA_PORT": "8002"}


def compose(folder: Path, text: str) -> Path:
    file = folder / "compose.yaml"
    file.write_text(text)
    return file


def test_service_names_become_loopback_addresses(tmp_path: Path) -> None:
    proxy = read_topology(compose(tmp_path, COMPOSE), VARIABLES)["proxy"]
    assert proxy.environment == {
        "KAFKA": "127.0.0.1:8002,other-kafka:1",
        "URL": "http://127.0.0.1:8001/topics",
        "N": "3",
    }
    assert (proxy.port, proxy.port_setting, proxy.waits_for) == (8001, "PROXY_PORT", ("kafka",))


def test_services_come_after_what_they_wait_for(tmp_path: Path) -> None:
    topology = read_topology(compose(tmp_path, COMPOSE), VARIABLES)
    assert list(topology.services) == ["kafka", "proxy", "job"]
    assert [service.name for service in topology.long_running] == ["kafka", "proxy"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("${PROXY_PORT}", "${NOPE}", "proxy.ports needs NOPE"),
        ('"127.0.0.1:${PROXY_PORT}:8082"', '"${PROXY_PORT}:8082"', "proxy.ports must be one entry"),
        ("{kafka: {condition", "{job: {condition", "wait for each other"),
        ("{kafka: {condition", "{kafak: {condition", "unknown services"),
    ],
)
def test_what_it_does_not_understand_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(TopologyError, match=said.replace(".", r"\.")):
        read_topology(compose(tmp_path, COMPOSE.replace(old, new)), VARIABLES)


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_must_be_one(tmp_path: Path, port: str) -> None:
    with pytest.raises(TopologyError, match="1 to 65535"):
        read_topology(compose(tmp_path, COMPOSE), VARIABLES | {"PROXY_PORT": port})


def test_the_shell_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# comment\n\nA=1\nB=x=y\n")
    assert read_variables(file, {"A": "2", "C": "3"}) == {"A": "2", "B": "x=y"}


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\nnonsense\n")
    with pytest.raises(TopologyError, match=r"\.env:2: expected NAME=value"):
        read_variables(file, {})


def test_services_can_be_left_out(tmp_path: Path) -> None:
    topology = read_topology(compose(tmp_path, COMPOSE), VARIABLES | {"PIPELINE_WITHOUT": "job, proxy"})
    assert list(topology.services) == ["kafka"]


@pytest.mark.parametrize(("without", "said"), [("kafka", "which proxy waits for"), ("nope", "names nope; there are")])
def test_only_services_that_nobody_waits_for(tmp_path: Path, without: str, said: str) -> None:
    with pytest.raises(TopologyError, match=said):
        read_topology(compose(tmp_path, COMPOSE), VARIABLES | {"PIPELINE_WITHOUT": without})


def test_our_own_reader_goes_on_after_a_weekend_unless_it_is_told_not_to() -> None:
    """Its streams keep records for a day, and after two without new ones nobody can say that none came."""
    for told, environment in (("false", {}), ("true", {"STREAM_READER_FAIL_ON_DATA_LOSS": "true"})):
        topology = read_topology(ROOT / "compose.yaml", read_variables(ROOT / ".env", environment))
        assert topology.services["stream-reader"].environment["STREAM_READER_FAIL_ON_DATA_LOSS"] == told


def test_our_own_compose_file_is_read() -> None:
    topology = read_topology(ROOT / "compose.yaml", read_variables(ROOT / ".env", os.environ))
    values = [value for service in topology.services.values() for value in service.environment.values()]
    assert not [value for value in values if "${" in value]
    assert not [value for value in values for name in topology.services if f"//{name}:" in value]
