"""Rules that hold for the whole tree."""

import ast
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from pipeline_local import processes
from pipeline_local.layout import Layout
from pipeline_local.topology import read_topology, read_variables

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
# All that the wheel is built from, and the DAGs, which are copied.
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
PARTS = [*WHEEL["dev-mode-dirs"], "dags"]

# Beside `__main__.py` and `cli.py`, which hand on what they have read.
MAY_READ_THE_ENVIRONMENT = {
    # Composition roots by another name.
    "services/stream-reader/stream_reader/serve.py",
    "local/pipeline_local/airflow.py",
    "local/pipeline_local/container.py",
    "local/pipeline_local/localstack_main.py",
    "local/pipeline_local/supervisor.py",
    "dags/batch.py",
    "local/airflow/plugins/hosts.py",
    # The runner's shell: where the state is, what `.env` is overruled by and a child inherits.
    "local/pipeline_local/layout.py",
    "local/pipeline_local/installation.py",
    # What other programs take from the environment alone: Java, PySpark, npm, Docker, certificates.
    "packages/spark_kit/spark_kit/jvm.py",
    "packages/spark_kit/spark_kit/session.py",
    "local/bootstrap.py",
    "local/pipeline_local/jars.py",
    "local/pipeline_local/toolchain.py",
    "deploy/aws/aws_deploy/checkout.py",
    # Whether this is Databricks.
    "packages/kinesis_source/kinesis_source/reader.py",
    "packages/spark_kit/spark_kit/databricks.py",
}

# Pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a registry's address": re.compile(
        r"https?://(files|static|registry|repo1?|deb|proxy|index|py[a-z]+)\.[a-z]+(\.[a-z]+)?/|https?://py" + r"pi\.org"
    ),
    "a path of one machine": re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root|home/[a-z]+)/"),
    "a resolved package address": re.compile(r'"resolved"\s*:\s*"http'),
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def offences(text: str) -> list[str]:
    return [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]


@pytest.mark.parametrize(
    "text",
    [
        "see https://registry." + "example.org/x",
        "cd /" + "work/x",
        '"resolved"' + ': "https://a"',
        "open /" + "root/.m2",
    ],
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert offences(text)


def test_no_registry_address_and_no_machine_path() -> None:
    found = {}
    for file in tracked():
        text = file.read_bytes().decode("utf-8", "ignore")
        if wrong := offences(text):
            found[str(file.relative_to(ROOT))] = wrong
    assert not found


def decoders_made_late(source: str) -> list[int]:
    """Lines where a function makes msgspec look at a model: two threads that do so first at once crash the process."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted(
        {
            call.lineno
            for function in functions
            for call in ast.walk(function)
            if isinstance(call, ast.Call)
            and re.match(r"msgspec\.(\w+\.)?(Decoder|convert|decode)$", ast.unparse(call.func))
            if not (call.func.attr == "decode" and not call.keywords)  # type: ignore[attr-defined]  # any value at all
        }
    )


def test_models_are_completed_when_modules_are_loaded() -> None:
    assert decoders_made_late("def f(a):\n    return msgspec.json.decode(a, type=A)\n") == [2]
    assert decoders_made_late("def f(a):\n    return msgspec.convert(a, A)\n") == [2]
    assert not decoders_made_late("d = msgspec.json.Decoder(A)\ndef f(a):\n    return msgspec.json.decode(a)\n")
    code = [file for file in tracked() if file.suffix == ".py" and "tests" not in file.relative_to(ROOT).parts]
    found = {str(file.relative_to(ROOT)): decoders_made_late(file.read_text()) for file in code}
    assert not {file: lines for file, lines in found.items() if lines}


def reads_of_the_environment(source: str) -> list[int]:
    """Lines that read or write environment variables, or let a settings class read them."""
    return sorted(
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.environb", "os.getenv"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and {"environ", "getenv"} & _names(node))
        or (isinstance(node, ast.Call) and re.search(r"Settings\.load$", ast.unparse(node.func)))
    )


def _names(statement: ast.ImportFrom) -> set[str]:
    return {alias.name for alias in statement.names}


def test_who_reads_the_environment() -> None:
    assert reads_of_the_environment("import os\nos.environ['A']\nos.getenv('B')\nSettings.load()\n") == [2, 3, 4]
    assert reads_of_the_environment("from os import environ\n") == [1]
    assert not reads_of_the_environment("def app(environ):\n    return environ['PATH_INFO']\n")
    code = [
        file.relative_to(ROOT)
        for file in tracked()
        if file.suffix == ".py" and not {"tests", "benchmarks"} & set(file.relative_to(ROOT).parts)
    ]
    readers = {str(file) for file in code if reads_of_the_environment((ROOT / file).read_text())}
    assert {name for name in readers if Path(name).name not in {"__main__.py", "cli.py"}} == MAY_READ_THE_ENVIRONMENT


@pytest.mark.parametrize("folder", PARTS)
def test_every_part_has_a_readme_and_tests(folder: str) -> None:
    assert (ROOT / folder / "README.md").read_text().count("\n") > 5
    assert list((ROOT / folder / "tests").glob("test_*.py"))


def test_compose_stays_inside_what_the_embedded_runner_reads() -> None:
    document = yaml.safe_load(COMPOSE.read_text())
    topology = read_topology(COMPOSE, read_variables(ROOT / ".env", {}))
    containers = {name for name, service in document["services"].items() if "containers" in service.get("profiles", [])}
    assert set(document["services"]) - containers == set(topology.services)
    for name, service in document["services"].items():
        assert isinstance(service.get("environment", {}), dict), name
        for value in service.get("environment", {}).values():
            assert isinstance(value, str | int), (name, value)
        for condition in service.get("depends_on", {}).values():
            assert condition["condition"] in {"service_healthy", "service_completed_successfully"}
    assert COMPOSE.read_text().count("\n") < 300
    assert "latest" not in (ROOT / ".env").read_text()
    assert topology.long_running


def test_every_service_has_a_command(tmp_path: Path) -> None:
    topology = read_topology(COMPOSE, read_variables(ROOT / ".env", {}))
    layout = Layout(ROOT, tmp_path)
    ours = [service for service in topology.services.values() if service.name not in {"kafka", "localstack"}]
    for service in ours:
        assert processes.command({}, layout, service).argv[1] == "-m"
    assert set(processes.MODULES) == {service.name for service in ours}


def test_ports_are_published_on_loopback_and_are_settings() -> None:
    variables = read_variables(ROOT / ".env", {})
    ports = [int(value) for name, value in variables.items() if name.endswith("_PORT")]
    assert len(ports) == len(set(ports))
    for service in yaml.safe_load(COMPOSE.read_text())["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:${")


def test_makefile_targets_are_described() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    described = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: ([a-z0-9-]+)$", makefile, re.MULTILINE))
    assert targets == described == phony


@pytest.mark.parametrize(
    ("there", "called"), [(["python3", "python3.13"], "python3.13"), (["python3"], "python3"), ([], "python3")]
)
def test_make_calls_any_python_that_can_say_what_is_missing(tmp_path: Path, there: list[str], called: str) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    command = [shutil.which("make") or "make", "--dry-run", "setup"]
    told = subprocess.run(command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert Path(told.stdout.split()[0]).name == called
    assert told.stdout.split()[1] == "local/bootstrap.py"


def test_set_up_says_which_python_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make = runpy.run_path(str(ROOT / "local" / "bootstrap.py"))["make"]
    assert make(tmp_path / "venv", (3, 99), []) == 2
    assert capsys.readouterr().err.startswith("CPython 3.99 is needed and python3.99 is not on the PATH (this is 3.")
    told = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert "`CPython 3.13 is needed and python3.13 is not on the PATH`" in told


def test_ci_runs_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_links_in_documents_lead_somewhere() -> None:
    broken = []
    for file in tracked():
        if file.suffix != ".md":
            continue
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", file.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            if not (file.parent / target).exists():
                broken.append(f"{file.relative_to(ROOT)}: {target}")
    assert not broken
