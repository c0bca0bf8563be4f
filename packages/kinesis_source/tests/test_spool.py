import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from kinesis_source import spool
from kinesis_source.errors import SpoolError
from kinesis_source.records import SCHEMA, Record, rows
from kinesis_source.spool import Spool

BATCH = rows([Record(str(n), b"d%d" % n, "k", 1.5) for n in range(5)], "s", "shard")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = Spool(tmp_path).write("a", BATCH)
    found = spool.read(path, 1, 3)
    assert found is not None
    assert found.schema == SCHEMA
    assert found.column("sequenceNumber").to_pylist() == ["1", "2", "3"]
    assert found.column("data").to_pylist() == [b"d1", b"d2", b"d3"]


def test_it_is_a_cache(tmp_path: Path) -> None:
    own = Spool(tmp_path)
    path = own.write("a", BATCH)
    assert spool.read(path, 4, 2) is None
    Path(path).write_bytes(b"cut")
    assert spool.read(path, 0, 1) is None
    own.delete(path)
    own.delete(path)
    assert spool.read(path, 0, 1) is None


def test_a_folder_that_was_tidied_away_is_made_again(tmp_path: Path) -> None:
    own = Spool(tmp_path)
    own.folder.rmdir()
    assert spool.read(own.write("a", BATCH), 0, 5) is not None


def test_rows_stay_readable_after_their_file_is_gone(tmp_path: Path) -> None:
    own = Spool(tmp_path)
    path = own.write("a", BATCH)
    found = spool.read(path, 0, 5)
    own.close()
    assert isinstance(found, pa.RecordBatch)
    assert found.column("data").to_pylist()[4] == b"d4"


def test_folders_of_the_dead_are_swept_and_of_the_living_are_not(tmp_path: Path) -> None:
    living = Spool(tmp_path)
    living.write("a", BATCH)
    program = "import sys, os\nfrom pathlib import Path\nfrom kinesis_source.spool import Spool\n"
    program += "print(Spool(Path(sys.argv[1])).folder, flush=True)\nos.kill(os.getpid(), 9)"
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, check=False)
    dead = Path(ran.stdout.decode().strip())
    assert dead.is_dir()
    newcomer = Spool(tmp_path)
    assert not dead.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(
        [living.folder.name, newcomer.folder.name]
    )
    assert list(living.folder.iterdir())


def test_nobody_else_may_look_in(tmp_path: Path) -> None:
    own = Spool(tmp_path / "new" / "root")
    assert own.folder.stat().st_mode & 0o077 == 0
    assert own.folder.parent.stat().st_mode & 0o077 == 0


def test_no_folder_no_spool(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="spoolDir"):
        Spool(tmp_path / "file")


def test_default_folder_is_the_users_own() -> None:
    assert spool.default_folder(1).name == f"kinesis-source-{os.getuid()}"


def test_memory_without_room_is_not_the_default_folder(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert spool.default_folder(free // 8, tmp_path).parent == tmp_path
    assert spool.default_folder(free, tmp_path).parent == Path(tempfile.gettempdir())
    assert spool.default_folder(1, tmp_path / "none").parent == Path(tempfile.gettempdir())
