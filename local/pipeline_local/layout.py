"""Where things lie: the checkout, the downloaded tools, the state of one installation."""

import os
from dataclasses import dataclass
from pathlib import Path

STATE_VERSION = 1
"""Raised when the state folder changes in a way that an older one cannot be read."""


@dataclass(frozen=True)
class Layout:
    """Paths of one checkout. ``home`` holds all state; it is ignored by git and removed by ``pipeline reset``."""

    root: Path
    home: Path

    @classmethod
    def of_checkout(cls) -> "Layout":
        """The checkout this package was installed from; ``PIPELINE_HOME`` moves the state elsewhere."""
        root = Path(__file__).resolve().parents[2]
        return cls(root, Path(os.environ.get("PIPELINE_HOME") or root / ".pipeline" / "state").resolve())

    @property
    def tools(self) -> Path:
        """Downloads that every installation of this checkout shares."""
        return self.root / ".pipeline" / "tools"

    @property
    def kafka_jars(self) -> Path:
        """Java libraries of the broker."""
        return self.tools / "jars" / "kafka"

    @property
    def spark_jars(self) -> Path:
        """Java libraries that Spark needs beyond pyspark's own."""
        return self.tools / "jars" / "spark"

    @property
    def databricks_jars(self) -> Path:
        """The same for the Spark of Databricks' runtime, for tests."""
        return self.tools / "jars-databricks" / "spark"

    @property
    def class_archives(self) -> Path:
        """Class-data archives, which halve the start of a JVM; recreated when missing."""
        return self.tools / "cds"

    @property
    def localstack_venv(self) -> Path:
        """LocalStack's own Python environment, with Node in it."""
        return self.tools / "localstack"

    @property
    def airflow_venv(self) -> Path:
        """Airflow's own Python environment, with an empty database of its version."""
        return self.tools / "airflow"

    @property
    def checkov_venv(self) -> Path:
        """The Python environment of checkov, which looks at the templates."""
        return self.tools / "checkov"

    @property
    def dags(self) -> Path:
        """What Airflow runs."""
        return self.root / "dags"

    @property
    def kinesalite(self) -> Path:
        """The Kinesis backend's npm folder."""
        return self.tools / "kinesalite"

    @property
    def status_file(self) -> Path:
        """What the supervisor says of itself."""
        return self.home / "status.json"

    @property
    def keys_file(self) -> Path:
        """Keys and tokens of this installation."""
        return self.home / "secrets.json"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.home / "supervisor.lock"

    @property
    def up_lock(self) -> Path:
        """Held by the one ``pipeline up`` that starts the supervisor."""
        return self.home / "up.lock"

    @property
    def supervisor_owner(self) -> str:
        """The supervisor's mark, like those of its services (``descendants.py``)."""
        return f"{self.home}/supervisor:"

    @property
    def demo_mark(self) -> Path:
        """An empty file, in the folder of a demo: the next demo may delete all of it."""
        return self.home / "DEMO"

    @property
    def logs(self) -> Path:
        """One log file per service."""
        return self.home / "logs"

    @property
    def lake(self) -> Path:
        """Delta tables."""
        return self.home / "lake"

    @property
    def audits(self) -> Path:
        """The newest audits, a file each (``pipeline_contracts.audits``)."""
        return self.home / "audits"

    @property
    def ledger(self) -> Path:
        """The emitter's ledger."""
        return self.home / "emitter" / "ledger.sqlite"

    @property
    def sent_mark(self) -> Path:
        """That there was a ledger (``sent.py``)."""
        return self.home / "SENT"
