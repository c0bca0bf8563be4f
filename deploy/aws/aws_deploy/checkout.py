"""What a deployment takes from a checkout of this project: DAG, requirements, wheel, the services' images."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from aws_deploy.errors import PackagingError

BUILD_DEADLINE_S = 1800
_ANSWER_S = 30
_PLATFORM = "linux/amd64"
"""What the task definitions ask for (``RuntimePlatform``)."""


def own_checkout() -> Path | None:
    """The checkout that this package lies in; None where it is installed."""
    root = Path(__file__).parents[3]
    return root if (root / "dags").is_dir() and (root / "compose.yaml").is_file() else None


@dataclass(frozen=True)
class Registry:
    """Where images go. User and password are good for some hours."""

    address: str
    user: str
    password: SecretStr


@dataclass(frozen=True)
class Checkout:
    """A checkout, and the ``docker`` on the PATH."""

    root: Path

    def airflow_files(self) -> Mapping[str, bytes]:
        """The DAGs and ``requirements.txt``, by their place below ``mwaa/`` in the artifacts bucket.

        Raises:
            PackagingError: the folder holds no DAG.
        """
        dags = self.root / "dags"
        found = {f"dags/{file.name}": file.read_bytes() for file in sorted(dags.glob("*.py"))}
        if not found:
            raise PackagingError(f"There is no DAG in {dags}; --checkout must name a checkout of this project")
        return {**found, "requirements.txt": (dags / "requirements.txt").read_bytes()}

    def wheel(self) -> tuple[str, bytes]:
        """Build the wheel that Databricks takes; its file name and content. Blocks for some seconds.

        Raises:
            PackagingError: it could not be built.
        """
        with tempfile.TemporaryDirectory() as folder:
            self._call([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder])
            (file,) = Path(folder).glob("*.whl")
            return file.name, file.read_bytes()

    def docker_answers(self) -> bool:
        """Whether an engine can be asked to build; one that says nothing for 30 s cannot."""
        docker = shutil.which("docker")
        if docker is None:
            return False
        try:
            asked = subprocess.run([docker, "version"], capture_output=True, check=False, timeout=_ANSWER_S)
        except subprocess.TimeoutExpired:
            return False
        return asked.returncode == 0

    def build(self, service: str, image: str) -> None:
        """Build the service's image as ``compose.yaml`` says, and give it this name, too. Blocks for minutes.

        Raises:
            PackagingError: it could not be built; holds Docker's last lines.
        """
        compose = ["docker", "compose", "--file", "compose.yaml"]
        self._call([*compose, "build", service], {"DOCKER_DEFAULT_PLATFORM": _PLATFORM})
        local = self._call([*compose, "config", "--images", service]).split()
        # With the service's own image come those that it needs to run.
        own = [name for name in local if name.rpartition(":")[0].endswith(f"/{service}")]
        self._call(["docker", "tag", own[0], image])

    def push(self, image: str, registry: Registry) -> None:
        """Push an image. The password goes into a folder of its own, which is gone afterwards. Blocks for minutes.

        Raises:
            PackagingError: the registry refused; holds Docker's last lines.
        """
        # A folder of its own knows nothing of the engine that the user has chosen.
        engine = self._call(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).strip()
        with tempfile.TemporaryDirectory() as folder:
            own = {"DOCKER_CONFIG": folder, "DOCKER_HOST": os.environ.get("DOCKER_HOST", engine)}
            login = ["docker", "login", "--username", registry.user, "--password-stdin", registry.address]
            self._call(login, own, stdin=registry.password.get_secret_value())
            self._call(["docker", "push", image], own)

    def _call(self, argv: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
        what = " ".join(argv[:3])
        try:
            done = subprocess.run(
                argv,
                cwd=self.root,
                env={**os.environ, **(environment or {})},
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=BUILD_DEADLINE_S,
            )
        except subprocess.TimeoutExpired as error:
            raise PackagingError(f"`{what} …` was not done within {BUILD_DEADLINE_S} s") from error
        except OSError as error:
            raise PackagingError(f"`{what} …` cannot be run: {error.strerror}") from error
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
            raise PackagingError(f"`{what} …` ended with {done.returncode}:\n{last}")
        return done.stdout
