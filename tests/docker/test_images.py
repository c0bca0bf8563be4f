"""What the images hold, and what they do not."""

import subprocess
from pathlib import Path
from typing import Any

import docker
import pytest
from aws_deploy.checkout import Checkout
from pipeline_local.topology import read_variables
from waiting import wait_until

LIMIT_OVER_BASE = 250_000_000
SMALL = ["proxy", "emitter", "s3-sink", "mirror"]
OURS = [*SMALL, "dashboard", "analyser", "stream-reader", "cli", "airflow"]


def inspected(image: str) -> dict[str, Any]:
    attributes: dict[str, Any] = docker.from_env().images.get(image).attrs
    return attributes


def run(image: str, program: str, *arguments: str) -> str:
    done = subprocess.run(
        ["docker", "run", "--rm", "--read-only", "--network", "none", "--entrypoint", program, image, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_deployment_builds_the_image_that_compose_describes(images: dict[str, str]) -> None:
    Checkout(Path(__file__).parents[2]).build("proxy", "registry.invalid/pinterest/proxy:v1")
    assert inspected("registry.invalid/pinterest/proxy:v1")["Id"] == inspected(images["proxy"])["Id"]
    docker.from_env().images.remove("registry.invalid/pinterest/proxy:v1")


def test_the_stream_readers_image_serves_the_popularity_alone(images: dict[str, str]) -> None:
    """What the task of stack ``popularity`` runs; it stops at the settings that are missing here."""
    command = ["docker", "run", "--rm", "--read-only", "--network", "none", "--entrypoint", "python"]
    command += [images["stream-reader"], "-m", "stream_reader.serve"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "LAKE_URI")


@pytest.mark.parametrize("name", SMALL)
def test_services_are_small(name: str, images: dict[str, str]) -> None:
    layers = docker.from_env().images.get(images[name]).history()
    base = docker.from_env().images.get(base_image()).attrs["Size"]
    assert sum(layer["Size"] for layer in layers) - base < LIMIT_OVER_BASE


def base_image() -> str:
    return read_variables(Path(__file__).parents[2] / ".env", {})["PYTHON_IMAGE"]


@pytest.mark.parametrize("name", OURS)
def test_nobody_is_root_and_nothing_is_left_of_the_build(name: str, images: dict[str, str]) -> None:
    assert run(images[name], "id", "-u") == "10001"
    found = run(
        images[name], "sh", "-c", "ls /opt/venv/lib/python3*/site-packages /opt/pipeline /build 2>/dev/null; true"
    )
    left = {"pip", "hatchling", "pytest", "hypothesis", "mypy", "tests", "setuptools"} & set(found.split())
    assert not left


def test_the_spark_images_share_all_that_is_large(images: dict[str, str]) -> None:
    analyser, reader = (inspected(images[name])["RootFS"]["Layers"] for name in ("analyser", "stream-reader"))
    assert analyser == reader


@pytest.mark.parametrize("name", OURS)
def test_labels_tell_the_version(name: str, images: dict[str, str]) -> None:
    labels = inspected(images[name])["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == images[name].split(":")[1]
    assert labels["org.opencontainers.image.title"].endswith(name)
    code = "import importlib.metadata as m; print(m.version('pinterest-data-pipeline'))"
    assert run(images[name], "python", "-c", code) == images[name].split(":")[1]


@pytest.mark.parametrize("name", OURS)
def test_no_registry_is_named(name: str, images: dict[str, str]) -> None:
    history = docker.from_env().images.get(images[name]).history()
    words = " ".join([*(str(layer["CreatedBy"]) for layer in history), *inspected(images[name])["Config"]["Env"]])
    assert "index-url" not in words.lower().replace("_", "-")


def test_the_analyser_starts_without_a_network(images: dict[str, str]) -> None:
    client = docker.from_env()
    container = client.containers.run(
        images["analyser"],
        detach=True,
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "size=1g,exec"},
        environment={
            "LAKE_URI": "file:///tmp/lake",
            "ANALYSER_STATE_DIR": "/tmp/state",
            "ANALYSER_TOKEN": "x" * 20,
            "ANALYSER_SHORT_LIVED": "true",
        },
    )
    try:
        wait_until("the analyser ready", lambda: b'"analyser ready"' in container.logs(), 120)
    finally:
        container.remove(force=True, v=True)


@pytest.mark.parametrize("name", [name for name in OURS if name != "cli"])
def test_what_hangs_is_ended_by_the_health_check(name: str, images: dict[str, str]) -> None:
    """A run of the emitter does not listen for as long as it runs, and is never started again."""
    check = inspected(images[name])["Config"]["Healthcheck"]["Test"]
    _shell, _python, _module, _name, _port, *limit_s = check
    assert limit_s == ([] if name == "emitter" else ["60"])


def test_a_container_that_hangs_is_started_again(images: dict[str, str]) -> None:
    """Its service is stopped, as by a deadlock: it takes connections and does not answer."""
    second = 1_000_000_000
    check = ["CMD", "python", "-m", "service_kit.probe", "8082", "3"]
    container: Any = docker.from_env().containers.run(
        images["proxy"],
        detach=True,
        init=True,
        read_only=True,
        tmpfs={"/tmp": "size=64m"},
        cap_drop=["ALL"],
        network_mode="none",
        environment={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"},
        restart_policy={"Name": "always"},
        healthcheck={"test": check, "interval": second, "timeout": 10 * second, "retries": 1_000},
    )
    try:
        wait_until("it answers", lambda: "check" in last_check(container), 60)
        stop = "import os, signal; from service_kit.hung import main_process; os.kill(main_process(), signal.SIGSTOP)"
        assert container.exec_run(["python", "-c", stop]).exit_code == 0

        def is_restarted() -> bool:
            container.reload()
            return bool(container.attrs["RestartCount"] == 1)

        wait_until("it is started again", is_restarted, 90, poll_s=0.5)
        wait_until("it answers again", lambda: "check" in last_check(container), 60)
        assert "so that Docker restarts it" in container.logs().decode()
    finally:
        container.remove(force=True)


def last_check(container: Any) -> str:
    """What the newest health check printed; nothing before the first."""
    container.reload()
    log = container.attrs["State"]["Health"]["Log"]
    return str(log[-1]["Output"]) if log else ""
