import socket
from pathlib import Path

import pytest
from pipeline_local import preflight
from pipeline_local.topology import Service, Topology, read_topology, read_variables

ROOT = Path(__file__).parents[2]


def service(name: str, port: int) -> Service:
    return Service(name, {}, port, f"{name.upper()}_PORT", (), is_job=False)


def topology(*services: Service) -> Topology:
    return Topology({one.name: one for one in services})


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nothing_stands_in_the_way(tmp_path: Path, free_port: int) -> None:
    assert preflight.problems(topology(service("proxy", free_port)), tmp_path, set_up=True) == []


def test_a_port_in_use_names_service_and_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = preflight.problems(topology(service("proxy", port)), tmp_path, set_up=True)
    assert found == [f"port {port} of proxy is in use: set PROXY_PORT to a free one, in .env or the shell"]


def test_one_port_for_two_services(tmp_path: Path, free_port: int) -> None:
    found = preflight.problems(topology(service("a", free_port), service("b", free_port)), tmp_path, set_up=True)
    assert found == [f"b and a both want port {free_port}: change B_PORT or A_PORT"]


def test_too_little_memory(tmp_path: Path, free_port: int) -> None:
    found = preflight.problems(topology(service("a", free_port)), tmp_path, set_up=True, memory=2**30)
    assert found == ["1.0 GiB of memory are free; 3.0 GiB are needed"]


@pytest.mark.parametrize(
    ("variables", "gib"),
    [
        ({}, 4.5),
        ({"PIPELINE_WITHOUT": "airflow"}, 4.0),
        ({"PIPELINE_WITHOUT": "airflow", "ANALYSER_SHORT_LIVED": "true"}, 3.5),
        ({"PIPELINE_WITHOUT": "airflow", "ANALYSER_SHORT_LIVED": "true", "STREAM_READER_SHORT_LIVED": "true"}, 3.0),
    ],
)
def test_the_memory_that_is_needed_depends_on_what_runs(variables: dict[str, str], gib: float) -> None:
    topology = read_topology(ROOT / "compose.yaml", read_variables(ROOT / ".env", {}) | variables)
    assert preflight.needed_memory(topology) == gib * 2**30


def test_too_little_disk(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MIN_DISK_BYTES", 2**62)
    (found,) = preflight.problems(topology(service("a", free_port)), tmp_path, set_up=True)
    assert f"on the disk of {tmp_path}" in found


@pytest.mark.parametrize("name", ["a#b", "why?", "a[1]", "x^2", "a|b", "back\\slash", "one,two", "100%25"])
def test_a_folder_that_can_hold_no_table(tmp_path: Path, free_port: int, name: str) -> None:
    (found,) = preflight.problems(topology(service("a", free_port)), tmp_path / name, set_up=True)
    assert f"{tmp_path / name} has" in found


def test_a_folder_of_another_language(tmp_path: Path, free_port: int) -> None:
    assert preflight.problems(topology(service("a", free_port)), tmp_path / "my läke 100% 😀", set_up=True) == []


def test_too_few_open_files(tmp_path: Path, free_port: int) -> None:
    (found,) = preflight.problems(topology(service("a", free_port)), tmp_path, set_up=True, file_limits=(256, 256))
    assert found.startswith("a process may open 256 files here, and 1024 are needed: raise the limit")


@pytest.mark.parametrize(
    ("limits", "raised"),
    [
        ((256, 4096), 4096),
        ((256, -1), 65_536),
        ((1024, 1_000_000), 65_536),
        ((100_000, 1_000_000), 100_000),
        ((-1, -1), -1),
    ],
)
def test_the_soft_limit_of_open_files_is_raised(limits: tuple[int, int], raised: int) -> None:
    assert preflight.raised_file_limit(limits) == (raised, limits[1])
