from pathlib import Path

import pytest
from pipeline_contracts.names import Names
from pyspark.sql import SparkSession
from stream_reader.rehearsal import rehearse

pytestmark = pytest.mark.spark


def test_everything_is_played_through_and_nothing_is_left(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        rehearse(spark, Names(), tmp_path / "rehearsal", lambda: True)
    assert "rehearsed" in [record.getMessage() for record in caplog.records]
    assert list(tmp_path.iterdir()) == []
