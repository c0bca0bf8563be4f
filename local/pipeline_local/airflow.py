"""Airflow as one child: API server, scheduler and DAG processor over one SQLite file, no triggerer.

``python -m pipeline_local.airflow`` starts the three and ends all of them when one ends, or on SIGTERM; then the
runner starts all anew. What a task was doing is found again by the next scheduler. Settings are Airflow's own
variables; those for every laptop stand in ``compose.yaml``.
"""

import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service_kit.logs import configure_logging
from service_kit.shutdown import Shutdown

from pipeline_local.command import end
from pipeline_local.layout import Layout

DATABASE: Final = "airflow.db"
STOP_DEADLINE_S = 15.0
POLL_S = 0.5
_SECRETS: Final = ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")

logger = logging.getLogger(__name__)


def command(venv: Path, *arguments: str) -> list[str]:
    """The argument list of one ``airflow`` command; ``venv`` is Airflow's own environment."""
    return [str(venv / "bin" / "python"), "-m", "airflow", *arguments]


def environment(inherited: Mapping[str, str], home: Path) -> dict[str, str]:
    """What every process of one Airflow needs: its folder, and secrets that all of them share, made once.

    Of a file that was torn nothing is needed: it is set aside, and others are made.
    """
    home.mkdir(parents=True, exist_ok=True)
    file = home / "secrets.json"
    found = _secrets(file)
    if found is None:
        if file.exists():
            logger.warning("set aside secrets that cannot be read", extra={"file": str(file)})
            file.replace(file.with_name(f"{file.name}.damaged"))
        found = {name: secrets.token_urlsafe(48) for name in _SECRETS}
        draft = _draft(file)
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(found), encoding="utf-8")
        draft.replace(file)
    # Airflow's processes give themselves titles; without SPT_NOENV these would stand where the kernel shows a process'
    # environment, and with it the mark by which the runner finds and ends them.
    own = {"AIRFLOW_HOME": str(home), "SPT_NOENV": "1"}
    return {**inherited, **own, **found}


def _secrets(file: Path) -> dict[str, str] | None:
    """Those of the file; None where it has not both of them."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        found = {name: document[name] for name in _SECRETS}
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if all(isinstance(value, str) and value for value in found.values()) else None


def prepare_database(venv: Path, home: Path, env: Mapping[str, str]) -> None:
    """Make the database, or bring one that another version of Airflow left up to this one.

    Raises:
        subprocess.CalledProcessError: Airflow could not change it; its words are on stderr.
    """
    database, version, installed = home / DATABASE, home / "database-version", _installed(venv)
    if not database.exists():
        draft = _draft(database)
        shutil.copyfile(venv / DATABASE, draft)
        draft.replace(database)
    elif not version.exists() or version.read_text(encoding="utf-8") != installed:
        subprocess.run(command(venv, "db", "migrate"), env=env, check=True)
    version.write_text(installed, encoding="utf-8")


def _draft(file: Path) -> Path:
    """Where a file is written first: a kill in between leaves no half of it under its name."""
    return file.with_name(f"{file.name}.draft")


def _installed(venv: Path) -> str:
    """Airflow's version, such as ``apache_airflow-3.2.1.dist-info``, read without starting its Python."""
    return next(venv.glob("lib/python*/site-packages/apache_airflow-*.dist-info")).name


def run(venv: Path, home: Path, host: str, port: int, shutdown: Shutdown) -> int:
    """Run until asked to stop (returns 0) or one of the three ends (returns 1)."""
    env = environment(os.environ, home)
    prepare_database(venv, home, env)
    commands = {
        "api-server": ["api-server", "--host", host, "--port", str(port), "--workers", "1"],
        # Its own server of log files would listen beyond loopback; the API server reads the files.
        "scheduler": ["scheduler", "--skip-serve-logs"],
        "dag-processor": ["dag-processor"],
    }
    children = {
        name: subprocess.Popen(command(venv, *arguments), env=env, cwd=home) for name, arguments in commands.items()
    }
    ended: str | None = None
    while not shutdown.wait(POLL_S) and ended is None:
        ended = next((name for name, child in children.items() if child.poll() is not None), None)
    if ended is not None:
        logger.error("a part of Airflow ended", extra={"part": ended, "exit_code": children[ended].returncode})
    end(children.values(), STOP_DEADLINE_S)
    return 0 if ended is None else 1


def main() -> int:
    """Composition root."""
    configure_logging("airflow")
    shutdown = Shutdown()
    shutdown.install()
    home = Path(os.environ["AIRFLOW_HOME"])
    venv = Path(os.environ.get("AIRFLOW_VENV") or Layout.of_checkout().airflow_venv)
    return run(venv, home, os.environ["AIRFLOW_HOST"], int(os.environ["AIRFLOW_PORT"]), shutdown)


if __name__ == "__main__":
    sys.exit(main())
