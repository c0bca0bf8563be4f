"""One Spark session for this folder, or the run's own where there is one."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from spark_session import spark_session


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    with spark_session() as session:
        yield session
