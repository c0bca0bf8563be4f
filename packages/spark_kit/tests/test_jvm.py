"""A JVM of ours, which a platform with a session of its own does not start: it comes up, says why not, and ends."""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from spark_kit.jvm import JvmConfig, JvmError, start_jvm
from spark_kit.session import SessionConfig, build_session, jvm_pid, own_session, session_alive, stop_session
from spark_session import JVM

pytestmark = pytest.mark.spark
BUSY = """
import sys
import threading
import time
from pathlib import Path
from spark_kit.jvm import JvmConfig
from spark_kit.session import SessionConfig, build_session, jvm_pid
folder, jars, archives = map(Path, sys.argv[1:])
jvm = JvmConfig(jars, archives, short_lived=True)
spark = build_session(SessionConfig("orphan", jvm, cores=1, scratch_dir=folder / "scratch"))
print(jvm_pid(), flush=True)

def tell():
    while not spark.sparkContext.statusTracker().getActiveJobsIds():
        time.sleep(0.05)
    print("busy", flush=True)

threading.Thread(target=tell, daemon=True).start()
spark.range(10**13).selectExpr("sum(id * id % 7)").collect()
"""


def answer(port: int) -> bytes:
    """What is said to somebody who knows no secret and sends a message of Spark's form, such as one to execute."""
    message = b"\x03" + struct.pack(">qi", 7, 12) + b"\x00\x0aabcdefghij"
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(struct.pack(">q", len(message) + 8) + message)
        return connection.recv(4096)


def test_session_and_a_second_one_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = tmp_path / "state" / "scratch"
    for scratch in (None, given):
        (given / "of one that was killed").mkdir(parents=True, exist_ok=True)
        spark = build_session(SessionConfig("test", JVM, cores=1, scratch_dir=scratch))
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
        listening = [c.laddr for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening
        assert all(at.ip.removeprefix("::ffff:").startswith("127.") or at.ip == "::1" for at in listening), listening
        answers = [answer(at.port) for at in listening]
        assert all(b"SaslMessage" in one or b"Py4JException" in one for one in answers), answers
        assert not list(Path("/tmp").glob(f"hsperfdata_*/{pid}"))
        assert spark.range(9).repartition(2).count() == 9
        assert list((scratch or tmp_path).rglob("liblz4-java*"))
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")
        assert own_session(spark).conf.get("spark.sql.session.timeZone") == "America/New_York"
        stop_session(spark)
        assert not session_alive()
        assert not list(tmp_path.glob("spark-scratch-*"))
        assert given.exists() == (scratch is None)
        assert not psutil.pid_exists(pid)


def test_jvm_dies_with_a_killed_process_in_the_middle_of_a_query(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, str(tmp_path), str(JVM.jars_dir), str(JVM.archive_dir)],
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


def test_failed_start_shows_the_last_lines() -> None:
    with pytest.raises(JvmError, match=r"exit code 1; its last lines:\n(?s:.*)heap"):
        start_jvm(JvmConfig(heap="1x"))


def test_deadline_is_kept() -> None:
    with pytest.raises(JvmError, match="did not come up within 0 s"):
        start_jvm(JvmConfig(), deadline_s=0.0)


def test_missing_jars_are_named(tmp_path: Path) -> None:
    with pytest.raises(JvmError, match=f"no jars in {tmp_path} .*SPARK_JARS_DIR"):
        build_session(SessionConfig("test", JvmConfig(jars_dir=tmp_path)))
