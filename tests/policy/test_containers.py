"""Rules of compose.yaml and the Dockerfiles; each was seen to fail on a broken copy, here, every time."""

import re
import string
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml
from container_rules import filled, offences_of_compose, offences_of_dockerfile, wheel_stage
from pipeline_local import container
from pipeline_local.cli import main
from pipeline_local.topology import read_variables
from pydantic import TypeAdapter
from service_kit.settings import PlainSecret

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()
VARIABLES = read_variables(ROOT / ".env", {})
DOCKERFILES = sorted(
    file for folder in ("services", "spark", "deploy", "local") for file in (ROOT / folder).rglob("Dockerfile")
)
PROXY = (ROOT / "services" / "proxy" / "Dockerfile").read_text()


def test_compose_keeps_its_rules() -> None:
    assert offences_of_compose(COMPOSE, VARIABLES, ROOT) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("proxy:${PIPELINE_VERSION}", "proxy:latest", "proxy: needs an image with a version"),
        ("proxy:${PIPELINE_VERSION}", "proxy", "proxy: needs an image with a version"),
        ("    mem_limit: 256m\n", "", "mirror: needs mem_limit"),
        ("  init: true\n", "", "kafka: needs init"),
        ("  restart: unless-stopped\n", "", "kafka: needs a restart policy"),
        ("  cap_drop: [ALL]\n", "", "kafka: needs cap_drop"),
        ("  pids_limit: 1024\n", "", "kafka: needs pids_limit"),
        ("  pids_limit: 1024\n", "  pids_limit: -1\n", "proxy: needs pids_limit"),
        ("    mem_limit: 256m\n", "    mem_limit: 256m\n    privileged: true\n", "mirror: needs no cap_add"),
        ("    mem_limit: 256m\n", "    mem_limit: 256m\n    user: root\n", "mirror: needs no cap_add"),
        ('  security_opt: ["no-new-privileges:true"]\n', "", "kafka: needs no-new-privileges"),
        (", options: {max-size: 10m", ", options: {min-size: 10m", "kafka: needs a limit on its log"),
        ("  stop_grace_period: 40s\n", "", "kafka: needs a time to stop"),
        ('"127.0.0.1:${PROXY_PORT}', '"${PROXY_PORT}', "proxy: needs ports on loopback"),
        ("{condition: service_healthy}", "{condition: service_started}", "mirror: needs known conditions"),
        ("kafka:/var/lib/kafka", "/srv/kafka:/var/lib/kafka", "kafka: needs named volumes alone"),
        ("kafka:/var/lib/kafka", "./kafka:/var/lib/kafka", "kafka: needs named volumes alone"),
        ("services/proxy/Dockerfile", "services/gone/Dockerfile", "proxy: needs a Dockerfile that exists"),
        ("    healthcheck: {", "    healthchecks: {", "kafka: needs a health check"),
        ("  read_only: true\n", "", "proxy: needs read_only"),
        (', "analyser:/var/lib/pipeline/analyser"', "", "analyser: needs its scratch on a volume"),
        ("size=128m", 'size=128m", "/var/lib/pipeline/stream-reader', "stream-reader: needs its scratch on a volume"),
        ("pipeline/scratch", "pipeline/scratch:ro", "cli: needs its scratch on a volume"),
        (
            "    mem_limit: 768m\n    volumes",
            "    volumes: []\n    mem_limit: 768m\n    x",
            "kafka: keys are not in order",
        ),
    ],
)
def test_each_rule_of_compose_is_seen_to_fail(old: str, new: str, rule: str) -> None:
    broken = COMPOSE.replace(old, new)
    assert broken != COMPOSE
    assert any(offence.startswith(rule) for offence in offences_of_compose(broken, VARIABLES, ROOT))


def test_a_service_without_a_readme_is_found(tmp_path: Path) -> None:
    for file in DOCKERFILES:
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        copy.write_text(file.read_text())
    found = offences_of_compose(COMPOSE, VARIABLES, tmp_path)
    assert "proxy: needs a README beside its Dockerfile" in found


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT).parent))
def test_dockerfiles_keep_their_rules(file: Path) -> None:
    assert offences_of_dockerfile(file.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (r"FROM \$\{PYTHON_IMAGE\} AS (libraries|wheel)", "RUN", "two stages"),
        (r"FROM \$\{PYTHON_IMAGE\}\n", "FROM python:latest\n", "a base that .env pins"),
        ("ARG PYTHON_IMAGE\n", "ARG PYTHON_IMAGE=python:3\n", "a base that .env pins"),
        (r"\A", "# syntax=docker/dockerfile:1\n", "no syntax line"),
        ("COPY LICENSE", "RUN <<END\nEND\nCOPY LICENSE", "no syntax line"),
        ("USER 10001", "USER root", "a user that is not root"),
        ("USER 10001", "", "a user that is not root"),
        ("--require-hashes", "", "hashed pins"),
        ("--require-hashes", "--require-hashes --index-url x", "no package index"),
        ("COPY LICENSE", "RUN apt-get install gcc\nCOPY LICENSE", "no packages of the system"),
        ("COPY LICENSE", "ADD LICENSE", "COPY and not ADD"),
        (r"ENTRYPOINT \[.*", "ENTRYPOINT python -m ingest_proxy", "exec form"),
        (r'CMD \["python", "-m", "service.*', "CMD curl localhost:8082", "exec form"),
        (r"ENTRYPOINT .*", "", "an entry point"),
        (r"org.opencontainers.image.title", "title", "labels"),
        (r"HEALTHCHECK .*", "", "a health check on /readyz"),
        ("USER 10001", "RUN pip install pytest\nUSER 10001", "no test or build tool"),
    ],
)
def test_each_rule_of_dockerfiles_is_seen_to_fail(old: str, new: str, rule: str) -> None:
    broken = re.sub(old, new.replace("\\", r"\\"), PROXY)
    assert broken != PROXY
    assert any(rule in offence for offence in offences_of_dockerfile(broken)), offences_of_dockerfile(broken)


def test_the_wheel_is_built_by_one_stage() -> None:
    stages = {stage for file in DOCKERFILES if (stage := wheel_stage(file.read_text()))}
    assert len(stages) == 1


def test_every_image_is_in_the_topology() -> None:
    used = {
        ROOT / service["build"]["dockerfile"]
        for service in yaml.safe_load(COMPOSE)["services"].values()
        if "build" in service
    }
    assert used == set(DOCKERFILES)


@pytest.mark.parametrize("token", [VARIABLES["ANALYSER_TOKEN"], string.ascii_letters + string.digits + "_-"])
def test_airflows_connection_has_every_token_that_the_analyser_takes(token: str) -> None:
    TypeAdapter(PlainSecret).validate_python(token)
    document = yaml.safe_load(filled(COMPOSE, VARIABLES | {"ANALYSER_TOKEN": token}))
    uri = document["services"]["airflow"]["environment"]["AIRFLOW_CONN_DATABRICKS_DEFAULT"]
    assert urlsplit(uri).password == token


def test_on_the_laptop_alone_services_answer_only_by_their_names() -> None:
    for name, service in yaml.safe_load(COMPOSE)["services"].items():
        if "ports" in service and name not in {"kafka", "localstack"}:
            assert service["environment"]["ALLOWED_HOSTS"] == name
    # Behind a load balancer the name is that of the load balancer, and in its health checks an address.
    assert not [file for file in (ROOT / "deploy").rglob("*.yaml") if "ALLOWED_HOSTS" in file.read_text()]


def test_images_have_the_projects_version() -> None:
    assert VARIABLES["PIPELINE_VERSION"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_folders_are_mounted_as_older_engines_take_them() -> None:
    """Docker 20.10 takes `./posts` for the name of a volume, and refuses it."""
    texts = [COMPOSE, *(file.read_text() for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))))]
    texts += [file.read_text() for file in sorted(ROOT.glob("*/**/README.md")) if ".venv" not in file.parts[-3]]
    mounted = [found for text in texts for found in re.findall(r"docker [^`\n]*? -v (\S+:\S+)", text)]
    assert len(mounted) >= 2
    assert not [one for one in mounted if not re.fullmatch(r'"\$PWD/[^:"]+:/[^:"]+(:ro)?"', one)]


def test_nothing_enters_the_build_unnamed() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {"**/tests", "**/__pycache__"} <= set(rules)


def test_every_command_runs_in_a_container_or_says_what_does() -> None:
    context = click.Context(container.look)
    seen = container.look.list_commands(context)
    assert {*seen, *container.ELSEWHERE} == set(main.list_commands(context))
    assert not set(seen) & set(container.ELSEWHERE)
    assert [command.name for name in seen if (command := container.look.get_command(context, name))] == seen


def test_no_file_but_cis_knows_how_a_machine_gets_its_engine() -> None:
    listed = subprocess.run(
        ["git", "grep", "-l", "shared/" + "docker"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert set(listed.stdout.split()) <= {".ci/run"}
