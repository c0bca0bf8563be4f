"""A file of posts that is torn, damaged or full."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from post_rows import pin, table
from stream_reader.popularity import posts as posts_module
from stream_reader.popularity.posts import Covered, Posts
from stream_reader.popularity.posts_database import PostsLostError

HALF_LIFE_S = 600.0
COVERED = Covered({"stream/t_pin_table": ("id", 7)}, "profiles", HALF_LIFE_S)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "posts.sqlite"


@pytest.fixture
def posts(file: Path) -> Iterator[Posts]:
    made = Posts(file)
    yield made
    made.close()


@pytest.mark.parametrize("damage", ["garbage", "version"])
def test_a_file_that_cannot_be_used_is_made_anew(file: Path, damage: str) -> None:
    posts = Posts(file)
    posts.put([("pin", table("pin", [pin(1, "a", 9, 0)]))])
    posts.cover(COVERED)
    posts.close()
    if damage == "garbage":
        file.write_bytes(b"not a database" * 1_000)
    else:
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    content = file.read_bytes()
    after = Posts(file)
    assert (after.covered(), after.posters()) == (None, [])
    after.close()
    assert file.with_name("posts.sqlite.damaged").read_bytes() == content, "for a person to look at"


def test_a_file_that_is_torn_holds_all_or_is_set_aside(file: Path) -> None:
    """Whatever is left of it: what it covers is never said of posts that are not there."""
    posts = Posts(file)
    posts.put([("pin", table("pin", [pin(ind, f"p{ind % 50}", 9, 0) for ind in range(500)]))])
    posts.cover(COVERED)
    whole = posts.posters()
    posts.close()
    content = file.read_bytes()
    for length in range(0, len(content), len(content) // 40):
        for torn in (content[:length], content[:length] + b"\0" * (len(content) - length)):
            file.write_bytes(torn)
            after = Posts(file)
            after.check()
            found = after.covered(), after.posters()
            assert found in ((None, []), (COVERED, whole)), length
            after.clear()


@pytest.mark.parametrize("what", ["a folder", "a note"])
def test_what_else_cannot_be_used_is_set_aside(file: Path, what: str) -> None:
    posts = Posts(file)
    posts.cover(COVERED)
    posts.close()
    if what == "a folder":
        file.unlink()
        file.mkdir()
        (file / "something").touch()
    else:
        with sqlite3.connect(file) as database:
            database.execute("UPDATE covered SET note = '{'")
        database.close()
    after = Posts(file)
    try:
        found = after.covered()
    except PostsLostError:
        found = after.covered()
    assert (found, after.posters()) == (None, [])
    assert file.with_name("posts.sqlite.damaged").exists()
    after.close()


@pytest.mark.parametrize("first_page", [3, 8], ids=["all but the head", "behind the roots"])
def test_a_file_whose_pages_are_damaged_is_given_up(file: Path, first_page: int) -> None:
    """It opens without a word: what is damaged shows when it is read."""
    posts = Posts(file)
    posts.put([("pin", table("pin", [pin(ind, f"p{ind % 50}", 9, 0) for ind in range(3_000)]))])
    posts.cover(COVERED)
    posts.close()
    damage(file, first_page)
    after = Posts(file)
    with pytest.raises(PostsLostError):
        after.posters()
    assert (after.covered(), after.posters(), after.changed()) == (None, [], [])
    assert after.put([("pin", table("pin", [pin(1, "a", 9, 0)]))]) == {"a"}
    after.close()


def damage(file: Path, first_page: int, page_bytes: int = 4096) -> None:
    content = bytearray(file.read_bytes())
    begin = (first_page - 1) * page_bytes
    assert len(content) > begin + 10 * page_bytes
    content[begin:] = b"\xff" * (len(content) - begin)
    file.write_bytes(content)


def test_a_file_that_cannot_be_made_anew_now_is_made_later(posts: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    posts.put([("pin", table("pin", [pin(1, "a", 9, 0)]))])
    posts.cover(COVERED)
    posts.clear()

    def full(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(posts_module, "connected", full)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            posts.covered()
    assert (posts.covered(), posts.posters()) == (None, [])


def test_a_full_disk_is_no_damage(file: Path) -> None:
    posts = Posts(file)
    posts.cover(COVERED)
    posts.close()
    full = Posts(file)
    assert full.covered() == COVERED
    with full._opened() as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        full.put([("pin", table("pin", [pin(ind, f"p{ind % 50}", 9, 0) for ind in range(3_000)]))])
    assert (full.covered(), full.posters()) == (COVERED, [])
    full.close()
