"""The only place that builds a Spark session: UTC, ANSI mode, Delta, loopback, few partitions."""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from spark_kit.databricks import on_databricks
from spark_kit.jvm import STOP_DEADLINE_S, Jvm, JvmConfig, JvmError, start_jvm

logger = logging.getLogger(__name__)
logging.getLogger("py4j").setLevel(logging.WARNING)  # it tells every callback from the JVM

_running: list[Jvm] = []
"""The JVM of this process, at most one: Spark keeps its gateway in a global, too."""

_scratch: list[Path] = []
"""The scratch folder of that JVM, deleted after its end."""


_ALIKE: Final[Mapping[str, str]] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # Spark's own form, INT96, is read as nanoseconds by others, and those begin in 1677.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""What every session has: it reads and writes times and numbers like any other."""

_ASKED_FOR_OFTEN: Final[Mapping[str, Sequence[str]]] = {
    "functions": ("col", "lit"),
    "org.apache.spark.sql.functions": ("coalesce", "col", "lit", "not", "when"),
    "PythonUtils": ("toSeq",),
    "PythonSQLUtils": (),
}
"""Classes, as PySpark names them, and their methods that it asks the JVM for whenever it makes a column."""


@dataclass(frozen=True)
class SessionConfig:
    """What a session depends on; nothing else is read from the environment, except by Databricks.

    ``scratch_dir`` takes shuffle files, uploads and all that the JVM would put into the system's temporary folder,
    native libraries among it. It is this session's alone: emptied before, deleted after it
    (default: a new folder of the system's temporary folder).
    ``s3_endpoint_url`` is set for an S3 that is not AWS; credentials are those of ``AWS_ACCESS_KEY_ID`` and
    ``AWS_SECRET_ACCESS_KEY``, or of the machine's role. ``cores`` is the number of tasks that run at once.
    ``conf`` is added last.
    """

    app_name: str
    jvm: JvmConfig = field(default_factory=JvmConfig)
    cores: int = 2
    scratch_dir: Path | None = None
    s3_endpoint_url: str | None = None
    s3_region: str = "us-east-1"
    conf: Mapping[str, str] = field(default_factory=dict)


def build_session(
    config: SessionConfig, *, inherit: Sequence[int] = (), record_archive: Path | None = None
) -> SparkSession:
    """The session of this process; blocks some seconds while the JVM starts.

    On Databricks it is the platform's session, made alike. Elsewhere a JVM is started, which holds the
    file descriptors ``inherit`` as long as it lives (see ``fence``). End it by ``stop_session``.
    ``record_archive`` is for ``spark_kit.archive``.

    Raises:
        JvmError: the JVM cannot be started, or a session runs already.
    """
    if on_databricks():
        return _databricks_session()
    if _running and _running[0].alive:
        raise JvmError("this process has a Spark session already; stop it by stop_session() first")
    _forget_gateway()
    # Spark Connect aside, PySpark reads the interpreter of its workers from the environment alone; the JVM, too, which
    # takes any `python3` for some.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    scratch = _new_scratch(config)
    try:
        jvm = start_jvm(config.jvm, scratch=scratch, inherit=inherit, record_archive=record_archive)
        _running[:] = [jvm]
        _connect(jvm)
        conf = SparkConf(loadDefaults=False).setAll(list(session_conf(config, scratch).items()))
        spark = SparkSession.builder.config(conf=conf).getOrCreate()
        _quieten(spark)
        return spark
    except BaseException:
        _stop_jvm()
        raise


def stop_session(spark: SparkSession, deadline_s: float = STOP_DEADLINE_S) -> None:
    """End the session and its JVM (on Databricks: nothing).

    Blocks until the process is gone; kills it when the deadline is over.
    """
    if on_databricks():
        return
    if session_alive():
        spark.stop()
    _stop_jvm(deadline_s)


def own_session(spark: SparkSession) -> SparkSession:
    """Another session of the same JVM, for settings of its own; what stands in ``_ALIKE`` it takes over.

    Spark gives a new session the settings that its context was made with, and none that were set later.
    """
    session = spark.newSession()
    for name in (*_ALIKE, "spark.sql.shuffle.partitions"):
        session.conf.set(name, str(spark.conf.get(name)))
    return session


def make_alike(spark: SparkSession) -> None:
    """Give a session that the platform made what stands in ``_ALIKE``; for a notebook, too."""
    for name, value in _ALIKE.items():
        spark.conf.set(name, value)


def session_alive() -> bool:
    """Whether the JVM of this process runs. After an out-of-memory error it does not."""
    return bool(_running) and _running[0].alive


def jvm_pid() -> int | None:
    """Process id of the JVM of this process, for those who measure or watch it."""
    return _running[0].pid if session_alive() else None


def session_conf(config: SessionConfig, scratch: Path) -> dict[str, str]:
    """Spark's configuration for one laptop: a warehouse in the scratch folder, few partitions, nothing to look at.

    The partition counts are what the sizes here need: with the defaults (200, 50, 10,000) the same work takes
    several times as long.
    """
    conf = {
        "spark.app.name": config.app_name,
        "spark.master": f"local[{config.cores}]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # Another user of this machine could talk to the ports of RPC and blocks; Spark makes a secret at each start.
        "spark.authenticate": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
        **_ALIKE,
        "spark.sql.shuffle.partitions": str(config.cores),
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(config.cores),
        "spark.sql.files.openCostInBytes": "65536",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": f"file:{(scratch / 'warehouse').resolve()}",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Else each operation on a column tells the JVM its line of Python, in a dozen calls.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        # It computes what is asked of rows in a plan while it plans, row by row and each time.
        "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.ConvertToLocalRelation",
    }
    if config.jvm.jars_dir is not None:
        conf |= {
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.databricks.delta.snapshotPartitions": "1",
            "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
        }
    if config.jvm.short_lived:
        # Generated code is compiled twice before it is fast; work of some seconds ends before that.
        conf |= {
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.adaptive.enabled": "false",
        }
    conf |= _s3_conf(config, scratch)
    return conf | dict(config.conf)


def _s3_conf(config: SessionConfig, scratch: Path) -> dict[str, str]:
    prefix = "spark.hadoop.fs.s3a."
    conf = {
        f"{prefix}endpoint.region": config.s3_region,
        f"{prefix}input.stream.type": "classic",
        f"{prefix}buffer.dir": str(scratch),
    }
    if config.s3_endpoint_url is not None:
        conf |= {
            f"{prefix}endpoint": config.s3_endpoint_url,
            f"{prefix}path.style.access": "true",
            f"{prefix}connection.ssl.enabled": str(config.s3_endpoint_url.startswith("https:")).lower(),
        }
    return conf


def _new_scratch(config: SessionConfig) -> Path:
    """The scratch folder, empty: one that was killed has left its files."""
    if config.scratch_dir is None:
        folder = Path(tempfile.mkdtemp(prefix="spark-scratch-"))
    else:
        folder = config.scratch_dir
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    _scratch[:] = [folder]
    return folder


def _connect(jvm: Jvm) -> None:
    """Give PySpark the gateway. It takes port and secret from the environment, where they must not stay."""
    os.environ.update(PYSPARK_GATEWAY_PORT=str(jvm.port), PYSPARK_GATEWAY_SECRET=jvm.secret)
    try:
        SparkContext._ensure_initialized(gateway=launch_gateway())  # type: ignore[no-untyped-call]
    finally:
        del os.environ["PYSPARK_GATEWAY_PORT"], os.environ["PYSPARK_GATEWAY_SECRET"]
    _ask_once(SparkContext._jvm)


def _ask_once(jvm: Any) -> None:
    """Keep what PySpark asks for often: for a short name, the JVM looks into every jar for it in several packages."""
    for name, methods in _ASKED_FOR_OFTEN.items():
        found = getattr(jvm, name)
        for method in methods:
            setattr(found, method, getattr(found, method))
        setattr(jvm, name, found)


def _quieten(spark: SparkSession) -> None:
    """Few records are part of a plan (``on_disk``), of whose size Spark warns at each stage; errors it still tells."""
    jvm: Any = spark.sparkContext._jvm
    log4j = jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel("org.apache.spark.scheduler.TaskSetManager", log4j.Level.ERROR)


@atexit.register
def _stop_at_exit() -> None:
    """A process that forgot ``stop_session`` ends without stack traces, too; Databricks' gateway is Databricks'."""
    if on_databricks():
        return
    active = SparkSession.getActiveSession() if session_alive() else None
    if active is not None:
        active.stop()
    _stop_jvm()


def _stop_jvm(deadline_s: float = STOP_DEADLINE_S) -> None:
    while _running:
        _running.pop().stop(deadline_s)
    while _scratch:
        shutil.rmtree(_scratch.pop(), ignore_errors=True)
    _forget_gateway()


def _forget_gateway() -> None:
    """Let PySpark start anew after its JVM is gone."""
    if SparkContext._gateway is not None:
        SparkContext._gateway.shutdown()
    SparkContext._gateway = None
    SparkContext._jvm = None
    SparkContext._active_spark_context = None
    SparkSession._instantiatedSession = None


def _databricks_session() -> SparkSession:
    spark = SparkSession.builder.getOrCreate()
    make_alike(spark)
    return spark
