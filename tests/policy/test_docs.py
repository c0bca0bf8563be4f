"""The documents tell the truth: what they list is compared with the code."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from aws_deploy.mirror.settings import MirrorSettings
from batch_analyser.jobs.catalogue import CHOICES
from batch_analyser.lake import SCHEMAS
from batch_analyser.policies import OPTIONS
from batch_analyser.settings import ServerSettings
from dashboard.settings import Settings as DashboardSettings
from emitter.settings import EmitterSettings
from ingest_proxy.settings import ProxySettings
from pipeline_contracts import objects
from pipeline_contracts.audits import AuditRow
from pipeline_contracts.lake import POPULARITY, REASONS, STREAM_QUARANTINE
from pipeline_local.cli import main
from pipeline_local.commands_stages import ANALYSIS
from pipeline_local.processes import INHERITED
from pipeline_local.topology import read_topology, read_variables
from pipeline_transforms.answers import ANSWERS, COUNTS
from pipeline_transforms.schemas import CLEANED
from s3_sink.settings import Settings as SinkSettings
from service_kit.settings import ServiceSettings
from stream_reader.lake.tables import PROFILES, QUARANTINE_SCHEMA
from stream_reader.serve import Settings as PopularitySettings
from stream_reader.settings import Settings as ReaderSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "local" / "README.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS = main.list_commands(click.Context(main))
# By prefix: where each is documented, and the class.
SETTINGS: dict[str, tuple[str, type[ServiceSettings]]] = {
    "PROXY_": ("services/proxy", ProxySettings),
    "S3_SINK_": ("services/s3-sink", SinkSettings),
    "EMITTER_": ("services/emitter", EmitterSettings),
    "STREAM_READER_": ("services/stream-reader", ReaderSettings),
    "POPULARITY_": ("services/stream-reader", PopularitySettings),
    "ANALYSER_": ("spark", ServerSettings),
    "MIRROR_": ("deploy/aws", MirrorSettings),
    "DASHBOARD_": ("services/dashboard", DashboardSettings),
}
# Options of a command that can be given as a variable, too.
OPTIONS_BY_VARIABLE = {"EMITTER_SOURCE"}
# Read by no settings class: the runner's own, the DAG's, and LocalStack's.
DAG_VARIABLES = {"PIPELINE_RAW_BUCKET", "PIPELINE_POLL_S"}
RUNNER_VARIABLES = {"CHROMIUM_REQUIRED", "DOCKER_REQUIRED", "PIPELINE_HOME", "PIPELINE_PROCESS_OF"}
OTHER_VARIABLES = {"LOCALSTACK_HOST"} | RUNNER_VARIABLES | DAG_VARIABLES | OPTIONS_BY_VARIABLE


def variables(settings: type[ServiceSettings]) -> set[str]:
    """The environment variables that a settings class reads."""
    prefix = settings.model_config.get("env_prefix", "")
    return {
        str(field.validation_alias) if field.validation_alias else f"{prefix}{name}".upper()
        for name, field in settings.model_fields.items()
    }


def rows(document: Path, first_column: str) -> list[dict[str, str]]:
    """The rows of the table whose first column has this title, cells without backticks."""
    found: list[dict[str, str]] = []
    titles: list[str] | None = None
    for line in document.read_text().splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            titles = None
        elif titles is not None and not set(cells[0]) <= {"-"}:
            found.append(dict(zip(titles, cells, strict=False)))
        elif cells[0] == first_column:
            titles = cells
    assert found, f"{document} has no table with the first column {first_column!r}"
    return found


def sources() -> Iterator[Path]:
    for folder in ("packages", "services", "spark", "dags", "deploy", "local", "tests", "benchmarks"):
        for suffix in ("py", "js", "yaml", "properties", "sql", "md"):
            yield from (file for file in (ROOT / folder).rglob(f"*.{suffix}") if "node_modules" not in file.parts)
    yield from (ROOT / name for name in ("compose.yaml", "pyproject.toml", "Makefile", "README.md", "CONTRIBUTING.md"))


def test_the_table_of_services_is_compose_yaml() -> None:
    topology = read_topology(ROOT / "compose.yaml", read_variables(ROOT / ".env", {}))
    told = {row["service"]: row for row in rows(DOCS / "architecture.md", "service") if "waits for" in row}
    assert list(told) == sorted(topology.services, key=list(told).index)
    for name, service in topology.services.items():
        waits_for = [other for other in told[name]["waits for"].split(", ") if other]
        assert waits_for == list(service.waits_for), name
        assert told[name]["port setting"] == (service.port_setting or ""), name
        assert told[name]["default"] == ("" if service.port is None else str(service.port)), name


def test_the_table_of_containers_is_compose_yaml() -> None:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    told = {row["service"]: row for row in rows(DOCS / "architecture.md", "service")[-len(document) :]}
    assert set(told) == set(document)
    for name, service in document.items():
        volumes = ", ".join(volume.split(":")[0] for volume in service.get("volumes", []))
        assert (told[name]["memory"], told[name]["volumes"]) == (service["mem_limit"], volumes), name
        assert told[name]["writable"] == ("/tmp" if service.get("read_only") else "all of it"), name
        assert service.get("build", {}).get("dockerfile", "") in told[name]["image"], name


@pytest.mark.parametrize("prefix", SETTINGS)
def test_a_readmes_settings_are_those_of_the_code(prefix: str) -> None:
    folder, settings = SETTINGS[prefix]
    assert settings.model_config.get("env_prefix") == prefix
    text = (ROOT / folder / "README.md").read_text()
    assert set(re.findall(rf"\b{prefix}[A-Z0-9_]+\b", text)) <= variables(settings) | OPTIONS_BY_VARIABLE
    unnamed = {name for name in variables(settings) if not re.search(rf"\b{name}\b", text)}
    assert not unnamed, f"settings without a line in {folder}/README.md"


def test_every_setting_named_in_a_document_exists() -> None:
    known = OTHER_VARIABLES | set(read_variables(ROOT / ".env", {}))
    known |= set().union(*(variables(settings) for _, settings in SETTINGS.values()))
    prefixes = "|".join([*SETTINGS, "PIPELINE_", "KAFKA_", "LOCALSTACK_", "SPARK_"])
    for document in WRITTEN:
        named = set(re.findall(rf"`((?:{prefixes})[A-Z0-9_]*[A-Z0-9])(?:=[^`]*)?`", document.read_text()))
        assert named <= known, document


def test_documents_named_in_the_sources_exist() -> None:
    missing = {
        f"{file.relative_to(ROOT)}: {path}"
        for file in sources()
        for path in re.findall(r"\bdocs/[A-Za-z0-9_./-]+\.md\b", file.read_text())
        if not (ROOT / path).exists()
    }
    assert not missing


def test_files_and_tests_named_in_documents_exist() -> None:
    tests = {
        name
        for folder in ("tests", "local", "services", "packages", "spark", "dags", "deploy")
        for file in (ROOT / folder).rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    for document in WRITTEN:
        text = document.read_text()
        assert set(re.findall(r"`(test_[a-z0-9_]+)`", text)) <= tests, document
        for path in re.findall(r"`((?:tests|local|packages|services|spark|dags|deploy|benchmarks)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), (document, path)


def test_the_table_of_commands_is_that_of_the_help() -> None:
    named = [row["command"].split()[1] for row in rows(ROOT / "local" / "README.md", "command")]
    assert named == COMMANDS


def test_commands_named_in_documents_exist() -> None:
    for document in WRITTEN:
        named = set(re.findall(r"`pipeline ([a-z]+)", document.read_text()))
        assert named <= set(COMMANDS), document


def test_the_table_of_the_lake_is_what_is_written() -> None:
    told = {row["table"]: row["columns"] for row in rows(DOCS / "architecture.md", "table")}
    assert told[STREAM_QUARANTINE].split(", ") == QUARANTINE_SCHEMA.names
    assert told[POPULARITY].split(", ") == PROFILES.names
    for table, schema in SCHEMAS.items():
        without_types = re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", schema))
        assert told[table].split(", ") == [column.split()[0] for column in without_types.split(", ")], table


def test_the_columns_of_silver() -> None:
    told = {row["kind"]: row["columns of silver, in order"] for row in rows(DOCS / "analytics.md", "kind")}
    assert told == {kind: ", ".join(schema.names) for kind, schema in CLEANED.items()}


def test_answers_reasons_and_policies() -> None:
    assert [row["table"] for row in rows(DOCS / "analytics.md", "#")] == list(ANSWERS)
    text = (DOCS / "analytics.md").read_text()
    assert all(f"`{name}`" in text for name in COUNTS)
    assert [row["reason"] for row in rows(DOCS / "analytics.md", "reason")] == list(REASONS)
    switches = ", ".join(row["switch of pipeline answers"] for row in rows(DOCS / "analytics.md", "detail"))
    assert switches == ", ".join(f"--{option}" for option in OPTIONS)


def test_the_parameters_of_the_jobs() -> None:
    named = ", ".join(row["job parameter"] for row in rows(ROOT / "spark" / "README.md", "job parameter"))
    assert set(named.split(", ")) == {*CHOICES, *OPTIONS}


def test_metadata_of_objects() -> None:
    named = ", ".join(row["metadata of our objects"] for row in rows(DOCS / "wire.md", "metadata of our objects"))
    assert named.split(", ") == [
        objects.LOG_ID, objects.FIRST_OFFSET, objects.NEXT_OFFSET, objects.RECORDS, objects.DEAD_LETTERED,
        objects.WRITER_ID,
    ]  # fmt: skip


def test_fields_of_the_audit() -> None:
    named = {name for row in rows(DOCS / "guarantees.md", "field") for name in re.findall(r"\w+", row["field"])}
    fates = {row["fate"] for row in rows(DOCS / "guarantees.md", "fate")}
    assert named | fates == set(AuditRow.__struct_fields__)


def test_what_services_get_of_the_shell() -> None:
    named = re.search(r"of the shell only `([A-Z_ ]+)`", (ROOT / "local" / "README.md").read_text())
    assert named is not None
    assert tuple(named[1].split()) == INHERITED


def test_the_tasks_of_an_analysis() -> None:
    told = {row["command"]: row["what it does"] for row in rows(ROOT / "local" / "README.md", "command")}
    assert told["pipeline analyse"].endswith(f"then {', '.join(ANALYSIS)}")


def test_how_long_before_its_answer_the_proxy_gives_up_a_delivery() -> None:
    told = re.search(r"must end (\d+) s before `PROXY_ANSWER_TIMEOUT_S`", (DOCS / "guarantees.md").read_text())
    assert told is not None
    latest_ms = 20_000 - 1000 * int(told[1])
    assert ProxySettings(answer_timeout_s=20, delivery_timeout_ms=latest_ms)
    with pytest.raises(ValueError, match="PROXY_DELIVERY_TIMEOUT_MS"):
        ProxySettings(answer_timeout_s=20, delivery_timeout_ms=latest_ms + 1)


def test_decisions_are_numbered_and_have_their_three_parts() -> None:
    pages = sorted((DOCS / "adr").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04d}" for number in range(1, len(pages) + 1)]
    for page in pages:
        titles = re.findall(r"^## (\w+)", page.read_text(), re.MULTILINE)
        assert titles[:3] == ["Context", "Decision", "Consequences"], page


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_points_outside_the_repository(document: Path) -> None:
    outside = re.findall(r"\.\./(?:shared|notes)[\w./-]*", document.read_text())
    assert set(outside) <= {"../shared/data/pinterest-sample"}


def test_every_direct_dependency_has_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    names = {re.split(r"[\[<>=~!; ]", entry)[0] for group in groups for entry in group}
    jars = set(re.findall(r'<dependency org="[^"]+" name="([a-z0-9-]+)', (ROOT / "requirements/jars.xml").read_text()))
    known = {"pinterest-data-pipeline", "kafka", "s3", "s3-transfer-manager"}  # ourselves; named by their project
    text = (DOCS / "licences.md").read_text()
    missing = {name for name in (names | jars) - known if not re.search(rf"(?<![\w-]){re.escape(name)}\b", text)}
    assert not missing
