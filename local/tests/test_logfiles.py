from pathlib import Path

import pytest
from pipeline_local.logfiles import follow, rotate, tail


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


def test_a_log_that_cannot_be_copied_costs_no_older_one(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    for name, text in {"a.log": "newest\n", "a.log.1": "newer\n", "a.log.2": "old\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "a.log.draft").mkdir()
    with pytest.raises(OSError, match="draft"):
        rotate(file, max_bytes=3)
    assert (file.read_text(), (tmp_path / "a.log.1").read_text()) == ("newest\n", "newer\n")
    assert (tmp_path / "a.log.2").read_text() == "old\n"


def test_tail(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    assert tail(file, 2) == ""
    file.write_bytes(b"1\n2\n\xff3\n")
    assert tail(file, 2) == "2\n\ufffd3"


def test_a_log_is_followed_over_its_rotation_and_a_character_over_two_pieces(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    with file.open("ab", buffering=0) as child:
        child.write(b"before\n")
        pieces = follow(file)
        assert next(pieces) == ""
        child.write("one ü".encode()[:-1])
        assert next(pieces) == "one "
        child.write("ü\n".encode()[1:])
        assert next(pieces) == "ü\n"
        rotate(file, max_bytes=3)
        child.write(b"two\n")
        assert next(pieces) == "two\n"
        assert next(pieces) == ""
