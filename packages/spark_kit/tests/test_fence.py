"""One writer per part of a lake, told by name, let go by death."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from spark_kit.fence import FencedError, hold_fence, local_folder

HOLD = """
import subprocess, sys, time
from spark_kit.fence import hold_fence
fence = hold_fence(sys.argv[1], service="first", area="batch")
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=fence.inheritable)
print("held", flush=True)
time.sleep(60)
"""


def test_second_writer_is_told_who_holds_it(tmp_path: Path) -> None:
    with (
        hold_fence(tmp_path.as_uri(), service="analyser", area="batch"),
        pytest.raises(FencedError, match=r"analyser \(pid \d+, since .*another LAKE_URI"),
    ):
        hold_fence(tmp_path.as_uri(), service="other", area="batch")
    hold_fence(tmp_path.as_uri(), service="other", area="batch").release()


def test_parts_have_a_writer_each(tmp_path: Path) -> None:
    with hold_fence(str(tmp_path), service="a", area="batch"), hold_fence(str(tmp_path), service="b", area="stream"):
        assert sorted(path.name for path in (tmp_path / ".locks").iterdir()) == ["batch.lock", "stream.lock"]


def test_unreadable_lock_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "batch.lock").write_text("{half")
    with (
        hold_fence(str(tmp_path), service="a", area="batch"),
        pytest.raises(FencedError, match=r"a \(pid"),
    ):
        hold_fence(str(tmp_path), service="b", area="batch")


def test_killed_holder_lets_go(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(FencedError, match="first"):
        hold_fence(str(tmp_path), service="second", area="batch")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    # The child inherited the lock and ends when its stdin does, as a JVM would.
    hold_fence(str(tmp_path), service="second", area="batch", wait_s=20).release()


def test_object_store_is_not_fenced() -> None:
    with hold_fence("s3a://bucket/lake", service="a", area="batch") as fence:
        assert fence.inheritable == ()


def test_local_folder() -> None:
    assert local_folder("file:///data/a%20lake") == Path("/data/a lake")
    assert local_folder("/data/lake") == Path("/data/lake")
    assert local_folder("s3://bucket/lake") is None
