"""What a session is made of, and what it brings: Delta, and silence where there is nothing to say."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import GatewayClient
from pyspark import SparkContext
from pyspark.sql import SparkSession
from pyspark.sql import functions as fn
from spark_kit import session as session_module
from spark_kit.jvm import archive_path, class_path
from spark_kit.session import SessionConfig, build_session, session_conf
from spark_session import spark_session
from waiting import wait_until

pytestmark = pytest.mark.spark


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    with spark_session() as session:
        yield session


def test_archive_is_named_after_the_jars(tmp_path: Path) -> None:
    jar = tmp_path / "delta-4.4.0.jar"
    jar.touch()
    names = {archive_path(tmp_path, tmp_path / "java", jars).name for jars in ([], [jar], [jar.with_name("x.jar")])}
    assert len(names) == 3
    assert class_path(tmp_path)[0] == jar.resolve()


def test_s3_options_come_with_an_endpoint(tmp_path: Path) -> None:
    plain = session_conf(SessionConfig("test"), tmp_path)
    local = session_conf(SessionConfig("test", s3_endpoint_url="http://127.0.0.1:4566"), tmp_path)
    added = {key.removeprefix("spark.hadoop.fs.s3a."): local[key] for key in local.keys() - plain.keys()}
    assert added == {
        "endpoint": "http://127.0.0.1:4566",
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
    }
    assert not any("secret" in key or "access.key" in key for key in local)


def test_databricks_session_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    platform = object()
    monkeypatch.setattr(session_module, "_databricks_session", lambda: platform)
    monkeypatch.setattr(session_module, "start_jvm", pytest.fail)
    assert build_session(SessionConfig("test")) is platform


def test_databricks_gateway_outlives_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    platform = object()
    monkeypatch.setattr(SparkContext, "_gateway", platform)
    session_module._stop_at_exit()
    assert SparkContext._gateway is platform


def test_delta_is_there(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(3).write.format("delta").save(str(tmp_path / "table"))
    assert spark.read.format("delta").load(str(tmp_path / "table")).count() == 3
    properties = spark.sql(f"DESCRIBE DETAIL delta.`{tmp_path / 'table'}`").first()
    assert properties is not None
    assert "deletionVectors" not in properties["tableFeatures"]


def test_rows_in_a_plan_are_no_warning(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    """Of each task over 1,000 KiB Spark would write one."""
    caplog.set_level(logging.INFO, "spark_kit.jvm")
    (row,) = spark.createDataFrame([("x" * 3_000_000,)], "text string").repartition(1).collect()
    assert len(row["text"]) == 3_000_000
    log4j: Any = spark.sparkContext._jvm
    log4j.org.apache.logging.log4j.LogManager.getLogger("test").warn("another warning")

    def written() -> str:
        return "\n".join(str(getattr(record, "line", "")) for record in caplog.records)

    wait_until("what Spark writes is seen", lambda: "another warning" in written())
    assert "very large size" not in written()


def test_a_column_takes_few_calls_to_the_jvm(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else PySpark tells where in Python each came from, and asks for each name anew: 36 calls in place of 4."""
    assert (fn.lit(1) > 0) is not None  # the first asks how the session is set
    told: list[list[str]] = []
    send = GatewayClient.send_command

    def counted(client: GatewayClient, command: str, *more: Any) -> Any:
        told.append(command.split("\n"))
        return send(client, command, *more)

    monkeypatch.setattr(GatewayClient, "send_command", counted)
    column = fn.when(fn.col("a") > 1, fn.lit("x"))
    assert [part[2] for part in told if part[0] != "m"] == ["col", "gt", "lit", "when"], "m: what Python let go"
    assert column is not None
