"""One Spark session for this folder, or the run's own where there is one: a process can have one JVM."""

import time
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session, session_alive, stop_session


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """PySpark gives points in time in the zone of the Python process, so that is UTC, too."""
    running = SparkSession.getActiveSession() if session_alive() else None
    if running is not None:
        yield running
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        session = build_session(SessionConfig("stream-reader-tests", JvmConfig(short_lived=True), cores=1))
        yield session
        stop_session(session)
    time.tzset()
