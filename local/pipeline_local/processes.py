"""How each service of ``compose.yaml`` runs as a process: its command and its folders."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline_local import kafka, localstack
from pipeline_local.command import Command, emptied
from pipeline_local.layout import Layout
from pipeline_local.topology import LOOPBACK, Service

INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "SSL_CERT_FILE")
"""What every child gets of the shell: where programs and certificates are found, how names of files are written."""

MODULES = {
    "dashboard": "dashboard",
    "mirror": "aws_deploy.mirror",
    "proxy": "ingest_proxy",
    "s3-sink": "s3_sink",
    "analyser": "batch_analyser",
    "stream-reader": "stream_reader",
    "airflow": "pipeline_local.airflow",
    "emitter": "emitter",
}


def command(shell: Mapping[str, str], layout: Layout, service: Service) -> Command:
    """The command of one service, with folders of this installation in the place of a container's volumes.

    ``shell`` is the environment of whoever starts it: little of it is handed on.

    Raises:
        KeyError: a service that has no command here (``tests/policy`` keeps both lists equal).
    """
    inherited = {name: shell[name] for name in INHERITED if name in shell}
    folder = layout.home / service.name
    inherited |= _temporary(shell, folder, service)
    if service.name == "kafka":
        made = kafka.command(layout, _kafka_environment(service), folder)
        return replace(made, env=inherited)
    if service.name == "localstack":
        made = localstack.command(layout, service.environment, folder, _port(service))
        return replace(made, env=inherited | made.env)
    prefix = service.name.replace("-", "_").upper()
    own = {f"{prefix}_HOST": LOOPBACK, f"{prefix}_PORT": str(service.port)} if service.port else {}
    # A job is a command of whoever types it: it takes the shell's settings, too, below those of the installation.
    asked = {name: value for name, value in shell.items() if service.is_job and name.startswith(f"{prefix}_")}
    installed = {**service.environment, **own, **_paths(layout, service)}
    env = {**inherited, "TZ": "UTC", "PYTHONUNBUFFERED": "1", **asked, **installed}
    return Command([sys.executable, "-m", MODULES[service.name]], env, folder)


def _temporary(shell: Mapping[str, str], folder: Path, service: Service) -> dict[str, str]:
    """Where a process puts what it does not keep. A job alone finds the user's own files, such as a database's."""
    scratch = folder / "tmp"
    if service.is_job:  # another one may be at work
        scratch.mkdir(parents=True, exist_ok=True)
        return {"TMPDIR": str(scratch), **({"HOME": shell["HOME"]} if "HOME" in shell else {})}
    return {"TMPDIR": str(emptied(scratch)), "HOME": str(folder)}


def _kafka_environment(service: Service) -> dict[str, str]:
    # One listener serves all on loopback, and the controller takes a port that nobody else asks for.
    port = _port(service)
    controller = port + 1
    return service.environment | {
        "KAFKA_LISTENERS": f"INTERNAL://:{port},CONTROLLER://:{controller}",
        "KAFKA_ADVERTISED_LISTENERS": f"INTERNAL://{LOOPBACK}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@{LOOPBACK}:{controller}",
    }


def _paths(layout: Layout, service: Service) -> dict[str, str]:
    paths = {
        "LAKE_URI": layout.lake.as_uri(),
        "EMITTER_LEDGER": str(layout.ledger),
        "DASHBOARD_AUDITS_DIR": str(layout.audits),
        "ANALYSER_STATE_DIR": str(layout.home / "analyser"),
        "STREAM_READER_STATE_DIR": str(layout.home / "stream-reader"),
        "AIRFLOW_HOME": str(layout.home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(layout.dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(layout.root / "local" / "airflow" / "plugins"),
    }
    result = {name: value for name, value in paths.items() if name in service.environment}
    if service.name in {"analyser", "stream-reader"}:
        result |= {"SPARK_JARS_DIR": str(layout.spark_jars), "SPARK_ARCHIVE_DIR": str(layout.class_archives)}
    if service.name == "s3-sink":
        result["S3_SINK_CONNECTORS_DIR"] = str(layout.root / "deploy" / "aws" / "connectors")
    return result


def _port(service: Service) -> int:
    if service.port is None:
        raise ValueError(f"{service.name} publishes no port")
    return service.port
