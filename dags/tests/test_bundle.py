"""`databricks.yml`: jobs that Databricks takes, and that are those of the analyser.

`databricks-bundles` checks each job against the schema of the Jobs API (unknown fields, missing ones, wrong values).
What it cannot know, such as the names of machine types, only a workspace can. It does not look at paths either, which
the CLI resolves from the folder of `databricks.yml` and refuses outside of it.
"""

import re
from os.path import normpath
from pathlib import Path
from typing import Any

import pytest
import yaml
from dag_files import DAGS
from databricks.bundles.jobs import Job
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

ROOT = DAGS.parent
TEXT = (ROOT / "databricks.yml").read_text()
BUNDLE: dict[str, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = BUNDLE["resources"]["jobs"]


@pytest.mark.parametrize("key", JOBS)
def test_databricks_takes_the_job(key: str) -> None:
    job = Job.from_dict(JOBS[key])  # type: ignore[arg-type]
    assert job.name == f"${{var.pipeline_id}}-{key}"
    assert job.schedule is None, "Airflow starts it"


@pytest.mark.parametrize(
    "wrong",
    [{"nope": 1}, {"tasks": [{"task_key": "x", "python_wheel_task": {"package": "x"}}]}, {"job_clusters": [{}]}],
)
def test_the_check_finds_what_it_looks_for(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        Job.from_dict({**JOBS["batch"], **wrong})  # type: ignore[arg-type]


def test_variables_are_declared_and_used() -> None:
    assert set(re.findall(r"\$\{var\.(\w+)\}", TEXT)) == set(BUNDLE["variables"])
    assert all("description" in variable for variable in BUNDLE["variables"].values())


def test_every_task_runs_on_a_cluster_of_its_job_and_in_the_wheel() -> None:
    for job in JOBS.values():
        clusters = {cluster["job_cluster_key"] for cluster in job["job_clusters"]}
        for task in job["tasks"]:
            assert task["job_cluster_key"] in clusters
            assert task["libraries"] == [{"whl": "./dist/*.whl"}]


def paths_of(bundle: dict[str, Any]) -> dict[str, list[str]]:
    """Every local path of a bundle: folders that are built in, copied to the workspace, wheels, and notebooks."""
    tasks = [task for job in bundle["resources"]["jobs"].values() for task in job["tasks"]]
    return {
        "artifacts": [artifact["path"] for artifact in bundle["artifacts"].values()],
        "sync": bundle["sync"]["paths"],
        "libraries": [library["whl"] for task in tasks for library in task["libraries"]],
        "notebooks": [task["notebook_task"]["notebook_path"] for task in tasks if "notebook_task" in task],
    }


def not_taken(bundle: dict[str, Any]) -> list[str]:
    """What the CLI would refuse or not find: paths out of the bundle's root, notebooks that are not copied."""
    paths = paths_of(bundle)
    inside = {path: Path(normpath(path)) for part in paths.values() for path in part}
    bad = [path for path, where in inside.items() if where.is_absolute() or ".." in where.parts]
    for path in paths["notebooks"]:
        copied = any(inside[path].is_relative_to(inside[folder]) for folder in paths["sync"])
        if not copied or not (ROOT / path).is_file():
            bad.append(path)
    built = {inside[path] / "dist" / "*.whl" for path in paths["artifacts"]}
    return [*bad, *(path for path in paths["libraries"] if inside[path] not in built)]


def test_all_of_it_lies_where_the_cli_takes_it() -> None:
    assert not_taken(BUNDLE) == []


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("path: .\n", "path: ..\n", ".."),
        ("./dist/*.whl", "../dist/*.whl", "../dist/*.whl"),
        ("./dist/*.whl", "spark/dist/*.whl", "spark/dist/*.whl"),
        ("paths: [spark/notebooks]", "paths: [../spark/notebooks]", "../spark/notebooks"),
        ("paths: [spark/notebooks]", "paths: [dags]", "spark/notebooks/stream.py"),
        ("notebooks/stream.py", "../notebooks/stream.py", "spark/../notebooks/stream.py"),
        ("spark/notebooks/stream.py", "/Workspace/stream.py", "/Workspace/stream.py"),
    ],
)
def test_a_path_elsewhere_is_found(old: str, new: str, refused: str) -> None:
    assert old in TEXT
    assert refused in not_taken(yaml.safe_load(TEXT.replace(old, new)))


@pytest.mark.parametrize("key", ["batch", "upkeep"])
def test_it_is_the_job_that_the_analyser_shows(key: str, jobs_api: Any) -> None:
    """Names, tasks, their order and the parameters: a DAG cannot tell the two apart."""
    sdk = WorkspaceClient(config=Config(host=jobs_api.url, token=jobs_api.token))
    (listed,) = sdk.jobs.list(name=f"pinterest-{key}", expand_tasks=True)
    assert listed.settings is not None
    shown = listed.settings.as_dict()
    ours = JOBS[key]
    assert [task["task_key"] for task in ours["tasks"]] == [task["task_key"] for task in shown["tasks"]]
    assert [task.get("depends_on") for task in ours["tasks"]] == [task.get("depends_on") for task in shown["tasks"]]
    assert ours["max_concurrent_runs"] == shown["max_concurrent_runs"] == 1
    if key == "batch":
        assert {one["name"]: one["default"] for one in ours["parameters"]} == {
            one["name"]: one["default"] for one in shown["parameters"]
        }


@pytest.mark.parametrize("key", ["batch", "upkeep"])
def test_airflow_may_start_the_job(key: str) -> None:
    job = Job.from_dict(JOBS[key])  # type: ignore[arg-type]
    assert [permission.as_dict() for permission in job.permissions] == [  # type: ignore[union-attr]
        {"service_principal_name": "${var.airflow_principal}", "level": "CAN_MANAGE_RUN"}
    ]
    assert "default" not in BUNDLE["variables"]["airflow_principal"], "an empty name is no principal"


def test_each_stream_has_a_core() -> None:
    (cluster,) = JOBS["stream"]["job_clusters"]
    ours, batch = cluster["new_cluster"], JOBS["batch"]["job_clusters"][0]["new_cluster"]
    assert ours == batch | {
        "node_type_id": "${var.stream_node_type}",
        "aws_attributes": batch["aws_attributes"] | {"first_on_demand": 1},
    }
    assert BUNDLE["variables"]["stream_node_type"]["default"].endswith(".xlarge"), "four cores"


@pytest.mark.parametrize("target", BUNDLE["targets"])
def test_installations_are_apart_and_others_may_not_change_their_code(target: str) -> None:
    folders = BUNDLE["targets"][target]["workspace"]["root_path"].split("/")
    assert folders[:4] == ["", "Workspace", "Users", "${workspace.current_user.userName}"]
    assert "${var.pipeline_id}" in folders


def test_every_command_of_the_bundle_is_told_what_has_no_default() -> None:
    step = (ROOT / "docs" / "airflow.md").read_text().partition("**Deploy the jobs.**")[2].partition("```\n")[0]
    given = set(re.findall(r"BUNDLE_VAR_(\w+)=", step))
    required = {name for name, variable in BUNDLE["variables"].items() if "default" not in variable}
    assert required | {"pipeline_id", "raw_bucket", "lake_uri", "region"} == given
    after = step.partition("databricks bundle deploy -t prod\n")[2]
    assert "databricks bundle run -t prod --restart --no-wait stream\n" in after, "it would go on with the old code"


def test_every_notebook_is_told() -> None:
    section = (ROOT / "docs" / "airflow.md").read_text().partition("\n### Notebooks")[2].partition("\n#")[0]
    told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(told) == sorted(file.stem for file in (ROOT / "spark" / "notebooks").glob("*.py"))


def test_every_parameter_of_the_job_reaches_every_task() -> None:
    names = {parameter["name"] for parameter in JOBS["batch"]["parameters"]}
    for task in JOBS["batch"]["tasks"]:
        given = task["python_wheel_task"]["named_parameters"]
        assert given["task"] == task["task_key"]
        assert {name for name, value in given.items() if value == f"{{{{job.parameters.{name}}}}}"} == names
