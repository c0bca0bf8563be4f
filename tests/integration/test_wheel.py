"""The wheel that Databricks takes: built as `make wheel` does, its tasks run on the libraries of the runtime there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_local.layout import Layout
from raw_objects import RawObjects
from servers import LocalStack

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-3.12" / "bin" / "python"
# As Databricks runs wheel tasks: with a session that is there, by the name of the entry point, with parameters as
# arguments. What its runtime lacks, and our tests need, cannot be imported.
RUN = """
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session
jars, tasks, *parameters = sys.argv[1:]
site = sys.path[1]  # Spark puts a folder before it
build_session(SessionConfig("platform", JvmConfig(Path(jars), short_lived=True)))
os.environ["DATABRICKS_RUNTIME_VERSION"] = "17.3"
sys.modules.update(dict.fromkeys(("deltalake", "duckdb", "flask", "psutil")))
(entry,) = entry_points(group="console_scripts", name="batch_analyser_task")
main = entry.load()
assert sys.modules[main.__module__].__file__.startswith(site), sys.modules[main.__module__].__file__
for task in tasks.split(","):
    sys.argv = ["batch_analyser_task", f"--task={task}", *parameters]
    main()
"""
TASKS = ("ingest", "clean", "answers", "audit", "upkeep")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as pip unpacks it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = (folder / "dist").glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    into = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *into], check=True, capture_output=True, timeout=120)
    return folder / "site"


def test_the_jobs_tasks_run_from_the_wheel(installed: Path, localstack: LocalStack, tmp_path: Path) -> None:
    raw = RawObjects(localstack.endpoint_url, "wheel")
    raw.put_posts(range(5))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "PYTHONPATH": str(installed),
        "PYSPARK_PYTHON": str(PYTHON),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": localstack.endpoint_url,
    }
    where = ["--pipeline-id=wheel", f"--lake-uri={(tmp_path / 'lake').as_uri()}", "--region=us-east-1"]
    done = subprocess.run(
        [str(PYTHON), "-c", RUN, str(Layout.of_checkout().databricks_jars), ",".join(TASKS), *where, "--replay="],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reports = dict(zip(TASKS, map(json.loads, done.stdout.splitlines()), strict=True))
    assert reports["ingest"]["records"] == 15
    assert {kind: one["inserted"] for kind, one in reports["clean"]["kinds"].items()} == {"pin": 5, "geo": 5, "user": 5}
    assert reports["answers"]["run_id"]
    assert reports["audit"]["ok"]
