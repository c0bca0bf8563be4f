"""One Spark session for the whole run."""

import time
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session, stop_session


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """PySpark gives points in time in the zone of the Python process, so that is UTC, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        # Compiling each of many small queries would take longer than running it.
        conf = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
        session = build_session(SessionConfig("transforms-tests", JvmConfig(short_lived=True), cores=1, conf=conf))
        yield session
        stop_session(session)
    time.tzset()
