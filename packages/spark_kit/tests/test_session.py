"""A real JVM: it comes up, says why if it does not, and does not outlive its process."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from pyspark import SparkContext
from spark_kit import session as session_module
from spark_kit.jvm import JvmConfig, JvmError, archive_path, class_path, start_jvm
from spark_kit.session import (
    SessionConfig,
    build_session,
    jvm_pid,
    own_session,
    session_alive,
    session_conf,
    stop_session,
)

pytestmark = pytest.mark.spark
JARS = Path(__file__).parents[3] / ".pipeline" / "tools" / "jars" / "spark"
BUSY = """
import sys
import threading
import time
from pathlib import Path
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session, jvm_pid
scratch = Path(sys.argv[1]) / "scratch"
spark = build_session(SessionConfig("orphan", JvmConfig(short_lived=True), cores=1, scratch_dir=scratch))
print(jvm_pid(), flush=True)

def tell():
    while not spark.sparkContext.statusTracker().getActiveJobsIds():
        time.sleep(0.05)
    print("busy", flush=True)

threading.Thread(target=tell, daemon=True).start()
spark.range(10**13).selectExpr("sum(id * id % 7)").collect()
"""


def test_session_and_a_second_one_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = tmp_path / "state" / "scratch"
    for scratch in (None, given):
        (given / "of one that was killed").mkdir(parents=True, exist_ok=True)
        spark = build_session(SessionConfig("test", JvmConfig(short_lived=True), cores=1, scratch_dir=scratch))
        assert list((scratch or tmp_path).rglob("blockmgr-*"))
        assert (given / "of one that was killed").exists() == (scratch is None)
        pid = jvm_pid()
        assert pid is not None
        row = spark.sql("SELECT current_timezone() AS zone, try_divide(1, 0) AS nothing").first()
        assert row is not None
        assert (row["zone"], row["nothing"]) == ("UTC", None)
        assert spark.conf.get("spark.sql.ansi.enabled") == "true"
        assert "PYSPARK_GATEWAY_SECRET" not in os.environ
        with pytest.raises(JvmError, match="already"):
            build_session(SessionConfig("second"))
        listening = [c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening
        assert all(ip.removeprefix("::ffff:").startswith("127.") or ip == "::1" for ip in listening), listening
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")
        assert own_session(spark).conf.get("spark.sql.session.timeZone") == "America/New_York"
        stop_session(spark)
        assert not session_alive()
        assert not list(tmp_path.glob("spark-scratch-*"))
        assert given.exists() == (scratch is None)
        assert not psutil.pid_exists(pid)


def test_jvm_dies_with_a_killed_process_in_the_middle_of_a_query(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, str(tmp_path)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    jvm = psutil.Process(int(process.stdout.readline()))
    assert process.stdout.readline() == b"busy\n"
    assert jvm.is_running()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    gone, _ = psutil.wait_procs([jvm], timeout=20)
    assert gone, "the JVM outlived its process"
    assert [file.name for file in tmp_path.iterdir()] == ["scratch"]


def test_rows_in_a_plan_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Of each task over 1,000 KiB Spark would write one."""
    caplog.set_level(logging.INFO, "spark_kit.jvm")
    spark = build_session(SessionConfig("test", JvmConfig(short_lived=True), cores=1))
    try:
        (row,) = spark.createDataFrame([("x" * 3_000_000,)], "text string").repartition(1).collect()
    finally:
        stop_session(spark)
    assert len(row["text"]) == 3_000_000
    written = [str(getattr(record, "line", "")) for record in caplog.records]
    assert any("WARN" in line for line in written), "what Spark writes is seen"
    assert not any("very large size" in line for line in written)


def test_failed_start_shows_the_last_lines() -> None:
    with pytest.raises(JvmError, match=r"exit code 1; its last lines:\n(?s:.*)heap"):
        start_jvm(JvmConfig(heap="1x"))


def test_deadline_is_kept() -> None:
    with pytest.raises(JvmError, match="did not come up within 0 s"):
        start_jvm(JvmConfig(), deadline_s=0.0)


def test_missing_jars_are_named(tmp_path: Path) -> None:
    with pytest.raises(JvmError, match=f"no jars in {tmp_path} .*SPARK_JARS_DIR"):
        build_session(SessionConfig("test", JvmConfig(jars_dir=tmp_path)))


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


@pytest.mark.skipif(not JARS.is_dir(), reason="the Java libraries are not set up")
def test_delta_is_there(tmp_path: Path) -> None:
    spark = build_session(SessionConfig("test", JvmConfig(jars_dir=JARS, short_lived=True), cores=1))
    try:
        spark.range(3).write.format("delta").save(str(tmp_path / "table"))
        assert spark.read.format("delta").load(str(tmp_path / "table")).count() == 3
        properties = spark.sql(f"DESCRIBE DETAIL delta.`{tmp_path / 'table'}`").first()
        assert properties is not None
        assert "deletionVectors" not in properties["tableFeatures"]
    finally:
        stop_session(spark)
