"""A Spark session for tests: with Delta, started from the class archive that set-up makes.

On CPython 3.12 (``.venv-3.12``) Spark and Delta are those of Databricks, without an archive: it fits one Spark.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from pipeline_local.layout import Layout
from pyspark.sql import SparkSession
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session, session_alive, stop_session

_LAYOUT = Layout.of_checkout()
_ON_RUNTIME = sys.version_info[:2] == (3, 12)
"""Whether the libraries are those of the runtime on Databricks (docs/adr/0019)."""
JVM = (
    JvmConfig(_LAYOUT.databricks_jars, short_lived=True)
    if _ON_RUNTIME
    else JvmConfig(_LAYOUT.spark_jars, _LAYOUT.class_archives, short_lived=True)
)


@contextmanager
def spark_session(cores: int = 1, conf: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """The session that this run has already, else one made now and ended after it: a process can have one JVM.

    PySpark gives points in time in the zone of the Python process, so that is UTC, too.
    """
    running = SparkSession.getActiveSession() if session_alive() else None
    if running is not None:
        yield running
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        session = build_session(SessionConfig("tests", JVM, cores, conf=conf or {}))
        try:
            yield session
        finally:
            stop_session(session)
    time.tzset()
