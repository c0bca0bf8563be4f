from pathlib import Path

from pipeline_local.logfiles import rotate, tail


def test_a_small_log_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("one\n")
    rotate(file, max_bytes=4)
    assert file.read_text() == "one\n"


def test_a_large_log_is_moved_and_its_writer_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    with file.open("a") as child:
        for text in ("first\n", "second\n", "third\n"):
            child.write(text)
            child.flush()
            rotate(file, max_bytes=3)
        child.write("x\n")
    assert file.read_text() == "x\n"
    assert (tmp_path / "a.log.1").read_text() == "third\n"
    assert (tmp_path / "a.log.2").read_text() == "second\n"
    assert len(list(tmp_path.iterdir())) == 3


def test_tail(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    assert tail(file, 2) == ""
    file.write_bytes(b"1\n2\n\xff3\n")
    assert tail(file, 2) == "2\n\ufffd3"
