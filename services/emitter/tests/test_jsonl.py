import errno
from pathlib import Path

import pytest
from emitter.errors import SourceError
from emitter.rows import Rejection, Row, examine
from emitter.sources.jsonl import JsonlSource
from emitter.sources.source import Taken


def folder(at: Path, pin: bytes = b"", geo: bytes = b"", user: bytes = b"") -> Path:
    for name, content in (("pin", pin), ("geo", geo), ("user", user)):
        (at / f"{name}.jsonl").write_bytes(content)
    return at


def read(source: JsonlSource) -> list[tuple[str, str, bytes]]:
    return [(row.kind, row.position, row.value) for row in source.rows(Taken())]


def test_rows_are_taken_in_turns_and_a_shorter_file_just_ends(tmp_path: Path) -> None:
    source = JsonlSource(folder(tmp_path, b"p1\np2\np3\n", b"g1\n", b"u1\nu2"))
    assert [value for _, _, value in read(source)] == [b"p1", b"g1", b"u1", b"p2", b"u2", b"p3"]


def test_blank_lines_carriage_returns_and_a_byte_order_mark(tmp_path: Path) -> None:
    source = JsonlSource(folder(tmp_path, b"\xef\xbb\xbfp1\r\n\n  \np4\r\n"))
    assert read(source) == [("pin", "1", b"p1"), ("pin", "4", b"p4")]


@pytest.mark.parametrize("after", range(8))
def test_goes_on_where_it_was_left(tmp_path: Path, after: int) -> None:
    source = JsonlSource(folder(tmp_path, b"p1\np2\np3\n", b"g1\n", b"u1\nu2"))
    rows = list(source.rows(Taken()))
    assert list(source.rows(Taken().after(rows[:after]))) == rows[after:]


def test_a_line_without_end_is_rejected_and_not_read_whole(tmp_path: Path) -> None:
    long = b'{"index":1,"x":"' + b" " * 3_000_000 + b'"}'
    source = JsonlSource(folder(tmp_path, long + b"\np2\n" + long))
    rows = list(source.rows(Taken()))
    assert [row.position for row in rows] == ["1", "2", "3"]
    assert all(len(row.value) < 1_100_000 for row in rows)
    rejected = examine(rows[0])
    assert isinstance(rejected, Rejection)
    assert rejected.reason.startswith("larger")


def test_white_space_behind_a_row_does_not_cut_it(tmp_path: Path) -> None:
    padded = b'{"index":1}' + b" " * 2_000_000 + b"garbage"
    [row] = JsonlSource(folder(tmp_path, padded)).rows(Taken())
    assert isinstance(examine(row), Rejection)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        JsonlSource(tmp_path / "nowhere")
    (tmp_path / "geo.jsonl").touch()
    with pytest.raises(SourceError, match=r"pin\.jsonl, user\.jsonl"):
        JsonlSource(tmp_path)


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(SourceError, match=r"cannot read .*pin\.jsonl: Permission denied"):
        JsonlSource(folder(tmp_path))


def test_identity_changes_with_the_content(tmp_path: Path) -> None:
    first = JsonlSource(folder(tmp_path, b"p1\n")).identity
    assert JsonlSource(tmp_path).identity == first
    assert JsonlSource(folder(tmp_path, b"p2\n")).identity != first


def test_turns_after_each_kind() -> None:
    taken = Taken().after([Row("pin", b"", "1"), Row("geo", b"", "1"), Row("pin", b"", "2")])
    assert taken == Taken(3, "pin", {"pin": "2", "geo": "1"})
