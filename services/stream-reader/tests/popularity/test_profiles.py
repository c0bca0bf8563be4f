"""Profiles over real Delta tables, made by delta-rs. The integration test does more of it, by Spark."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError
from pipeline_contracts.lake import POPULARITY, stream_table
from pipeline_contracts.names import Names
from spark_kit.lake import Transaction
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.tables import STORED, create_all
from stream_reader.popularity.arrivals import Rows
from stream_reader.popularity.posts import Posts
from stream_reader.popularity.posts_database import FACTS, PostsLostError
from stream_reader.popularity.profiles import Profiles

NAMES = Names("t")
PIN = stream_table(NAMES, "pin")
AS_OF = datetime(2026, 1, 1, 12, tzinfo=UTC)
COUNT = 3_000


class Bench:
    """Tables, and a file of posts beside them."""

    def __init__(self, folder: Path) -> None:
        self.tables = DeltaTables((folder / "lake").as_uri())
        create_all(self.tables, NAMES)
        self.file = folder / "posts.sqlite"
        self.posts = Posts(self.file)
        self.profiles = self.started()
        self.commits = 0

    def started(self) -> Profiles:
        """Another process."""
        self.posts.close()
        self.posts = Posts(self.file)
        self.profiles = Profiles(self.tables, NAMES, self.posts, 3_600.0)
        self.profiles.start()
        return self.profiles

    def append(self, inds: range) -> Rows:
        """Commit pins of posters of their own; gives what the batch hands over."""
        count = len(inds)
        values = {
            "ind": list(inds),
            "poster_name": [f"p{ind}" for ind in inds],
            "follower_count": [9] * count,
            "log_id": ["l"] * count,
            "partition": ["s"] * count,
            "offset": [str(ind) for ind in inds],
            "content_hash": [f"{ind:032x}" for ind in inds],
            "recorded_at": [AS_OF] * count,
        }
        schema = self.tables.schema(PIN)
        rows = pa.table([values.get(name, [None] * count) for name in schema.names], schema)
        self.commits += 1
        self.tables.append(PIN, rows, Transaction("test", self.commits))
        return Rows([("pin", rows.select(["ind", *STORED, *FACTS["pin"]]))])

    def commit(self) -> None:
        names = (stream_table(NAMES, "pin"), stream_table(NAMES, "geo"), stream_table(NAMES, "user"))
        self.profiles.commit(AS_OF, {table: self.tables.version(table) for table in names})

    def told(self) -> set[str]:
        """Whose profiles the popularity's table holds."""
        return {
            name for rows in self.tables.read(POPULARITY, ["poster_name"]) for name in rows["poster_name"].to_pylist()
        }

    def damage(self) -> None:
        """Overwrite what was put; what the file says of itself stays. Behind the process' back."""
        self.posts.close()
        content = bytearray(self.file.read_bytes())
        content[7 * 4096 :] = b"\xff" * (len(content) - 7 * 4096)
        self.file.write_bytes(content)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.posts.close()


def put(bench: Bench) -> None:
    bench.profiles.put(bench.append(range(COUNT, COUNT + 1)))


def put_nothing(bench: Bench) -> None:
    list(bench.profiles.all(AS_OF))


def commit(bench: Bench) -> None:
    bench.posts.touch(["p1"])
    bench.commit()


@pytest.mark.parametrize("at", [put, put_nothing, commit])
def test_posts_that_are_damaged_under_a_running_process_are_filled_again(
    bench: Bench, at: Callable[[Bench], None]
) -> None:
    bench.profiles.put(bench.append(range(COUNT)))
    bench.commit()
    bench.damage()
    with pytest.raises(PostsLostError):
        at(bench)
    last = bench.append(range(COUNT + 1, COUNT + 2))
    assert bench.profiles.put(last) >= {f"p{ind}" for ind in range(COUNT)}, "all of them may be others now"
    assert bench.profiles.uncommitted()
    bench.commit()
    assert bench.told() >= {f"p{ind}" for ind in (*range(COUNT), COUNT + 1)}
    assert len({one["poster_name"] for one in bench.profiles.all(AS_OF)}) == len(bench.told())


def test_a_commit_without_posts_fills_them_first(bench: Bench) -> None:
    """Nothing came since they were lost; what is not there must not be said to be."""
    bench.profiles.put(bench.append(range(COUNT)))
    bench.posts.clear()
    bench.commit()
    assert bench.told() == {f"p{ind}" for ind in range(COUNT)}
    assert len(bench.posts.posters()) == COUNT


def test_posts_that_are_damaged_at_the_start_are_filled_again(bench: Bench) -> None:
    bench.profiles.put(bench.append(range(COUNT)))
    bench.commit()
    bench.damage()
    assert len(list(bench.started().all(AS_OF))) == COUNT


def halve(log: Path) -> bytes:
    """Tear the newest commit of a table; gives what was there."""
    newest = max(log.glob("*.json"))
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2])
    return content


@pytest.mark.parametrize("file", ["kept", "lost"])
def test_a_table_that_cannot_be_read_leaves_the_others(bench: Bench, tmp_path: Path, file: str) -> None:
    bench.profiles.put(bench.append(range(5)))
    bench.commit()
    geo = stream_table(NAMES, "geo")
    log = tmp_path / "lake" / geo / "_delta_log"
    content = halve(log)
    if file == "lost":
        bench.posts.clear()
    bench.tables = DeltaTables((tmp_path / "lake").as_uri())
    profiles = bench.started()
    assert profiles.unusable.keys() == {geo}
    assert "move it away" in profiles.unusable[geo]
    assert len(list(profiles.all(AS_OF))) == 5
    profiles.put(bench.append(range(5, 7)))
    names = (PIN, stream_table(NAMES, "user"))
    profiles.commit(AS_OF, {table: bench.tables.version(table) for table in names})
    assert bench.told() == {f"p{ind}" for ind in range(7)}
    max(log.glob("*.json")).write_bytes(content)
    profiles.start()
    assert profiles.unusable == {}
    bench.commit()
    covered = bench.posts.covered()
    assert covered is not None
    assert covered.versions.keys() == {PIN, geo, stream_table(NAMES, "user")}
    assert bench.started().unusable == {}
    assert len(list(bench.profiles.all(AS_OF))) == 7


def test_rows_that_cannot_be_read_leave_those_of_other_tables(bench: Bench, tmp_path: Path) -> None:
    bench.profiles.put(bench.append(range(5)))
    bench.commit()
    next((tmp_path / "lake" / PIN).glob("*.parquet")).write_bytes(b"x" * 500)
    assert bench.started().unusable == {}, "the posts hold them"
    assert len(list(bench.profiles.all(AS_OF))) == 5
    bench.posts.clear()
    assert bench.started().unusable.keys() == {PIN}


def test_a_table_that_breaks_while_it_is_used(bench: Bench, tmp_path: Path) -> None:
    bench.profiles.put(bench.append(range(5)))
    bench.commit()
    bench.append(range(5, 6))
    halve(tmp_path / "lake" / PIN / "_delta_log")
    tables = DeltaTables((tmp_path / "lake").as_uri())
    broken = Profiles(tables, NAMES, bench.posts, 3_600.0)
    broken.start()
    assert broken.version(PIN) is None
    assert broken.version(stream_table(NAMES, "geo")) == 0


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_its_own_table_is_made_anew(bench: Bench, tmp_path: Path, damage: str) -> None:
    bench.profiles.put(bench.append(range(5)))
    bench.commit()
    folder = tmp_path / "lake" / POPULARITY
    if damage == "lost":
        shutil.rmtree(folder)
    else:
        halve(folder / "_delta_log")
    bench.profiles.put(bench.append(range(5, 6)))
    if damage == "lost":
        with pytest.raises((DeltaError, OSError)):
            bench.commit()
    assert bench.profiles.replaced()
    bench.profiles.start()
    assert not bench.profiles.replaced()
    bench.commit()
    assert bench.told() == {f"p{ind}" for ind in range(6)}
    assert folder.with_name(f"{folder.name}.damaged").exists() == (damage == "cut")
