"""The popularity that follows tables which somebody else writes; real Delta tables, made by delta-rs."""

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError
from pipeline_contracts.lake import stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from service_kit.clock import ManualClock
from service_kit.ops import NotReadyError
from service_kit.retries import RetryPolicy
from stream_reader.api import create_app
from stream_reader.lake.delta import DeltaTables
from stream_reader.popularity.follower import Follower
from stream_reader.popularity.index import Index
from stream_reader.popularity.posts import Posts
from stream_reader.popularity.posts_database import FACTS, PostsLostError

NAMES = Names("t")
ARRIVED = datetime(2025, 12, 31, tzinfo=UTC)
COLUMNS: dict[str, pa.DataType] = {
    "ind": pa.int32(),
    **dict.fromkeys(("log_id", "partition", "offset", "content_hash"), pa.string()),
    "recorded_at": pa.timestamp("us", "UTC"),
}
NUMBERS = {"follower_count": pa.int64(), "age": pa.int32()}


class Bench:
    """Three tables and what follows them."""

    def __init__(self, folder: Path) -> None:
        self.lake = folder / "lake"
        self.number = 0
        self.clock = ManualClock()
        self.index = Index(3_600.0)
        tables, posts = partial(DeltaTables, self.lake.as_uri()), Posts(folder / "posts.sqlite")
        retries = RetryPolicy(60.0, clock=self.clock)
        self.follower = Follower(tables, NAMES, posts, self.index, every_s=0.01, retries=retries)

    def table(self, kind: Kind) -> str:
        return str(self.lake / stream_table(NAMES, kind))

    def write(self, kind: Kind, *rows: dict[str, Any], mode: Any = "append") -> None:
        made = []
        for row in rows:
            self.number += 1
            place = {"log_id": "l", "partition": "s", "offset": str(self.number), "content_hash": str(row)}
            made.append({**place, "recorded_at": ARRIVED + timedelta(seconds=self.number), **row})
        schema = pa.schema({**COLUMNS, **{name: NUMBERS.get(name, pa.string()) for name in FACTS[kind]}})
        write_deltalake(self.table(kind), pa.Table.from_pylist(made, schema), mode=mode)

    def popular(self) -> dict[str, int]:
        return {one["poster_name"]: one["posts"] for one in self.index.popular(self.clock.now(), 10, {})}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for kind in KINDS:
        made.write(kind)
    return made


def test_new_rows_of_every_kind_show_and_nothing_is_read_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("pin", {"ind": 1, "poster_name": "ann", "follower_count": 9, "category": "art"})
    bench.follower.step()
    assert bench.popular() == {"ann": 1}
    read: list[int] = []
    put = Posts.put

    def counted(posts: Posts, rows: list[tuple[Kind, pa.Table]]) -> set[str]:
        read.append(sum(table.num_rows for _, table in rows))
        return put(posts, rows)

    monkeypatch.setattr(Posts, "put", counted)
    bench.write("pin", {"ind": 2, "poster_name": "bob", "follower_count": 99})
    bench.write("geo", {"ind": 1, "country": "Chad"})
    bench.write("user", {"ind": 1, "age": 20})
    bench.follower.step()
    assert bench.popular() == {"bob": 1, "ann": 1}
    (ann,) = bench.index.popular(bench.clock.now(), 10, {"country": "Chad", "age_group": "18-24", "category": "art"})
    assert ann["poster_name"] == "ann"
    assert sum(read) == 3
    bench.follower.step()
    assert sum(read) == 3


def test_a_compaction_and_forgotten_versions_change_nothing(bench: Bench) -> None:
    for ind in range(4):
        bench.write("pin", {"ind": ind, "poster_name": "ann", "follower_count": 9})
        if ind == 1:
            bench.follower.step()
    table = DeltaTable(bench.table("pin"))
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    bench.follower.step()
    assert bench.popular() == {"ann": 4}


def test_a_table_made_anew_replaces_what_was_told(bench: Bench) -> None:
    bench.write("pin", {"ind": 1, "poster_name": "ann", "follower_count": 9})
    bench.follower.step()
    for file in Path(bench.table("pin")).rglob("*"):
        if file.is_file():
            file.unlink()
    bench.write("pin", {"ind": 1, "poster_name": "bob", "follower_count": 9})
    bench.follower.step()
    assert bench.popular() == {"bob": 1}


def test_a_damaged_file_of_posts_is_filled_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("pin", {"ind": 1, "poster_name": "ann", "follower_count": 9})
    bench.follower.step()
    bench.write("pin", {"ind": 2, "poster_name": "ann", "follower_count": 9})

    def damaged(posts: Posts, *_: Any) -> None:
        posts.clear()
        raise PostsLostError("damaged")

    with monkeypatch.context() as patch:
        patch.setattr(Posts, "put", damaged)
        with pytest.raises(PostsLostError):
            bench.follower.step()
    assert bench.popular() == {"ann": 1}
    bench.follower.step()
    assert bench.popular() == {"ann": 2}


def test_without_tables_it_is_not_ready_and_goes_on_once_they_are_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(TableNotFoundError):
        bench.follower.step()
    with pytest.raises(NotReadyError, match="not read yet"):
        bench.follower.check()
    stop = threading.Event()
    thread = threading.Thread(target=bench.follower.run, args=(stop,))
    thread.start()
    try:
        for kind in KINDS:
            bench.write(kind)
        deadline = threading.Event()
        for _ in range(500):
            try:
                assert bench.follower.check().startswith("0 profiles")
                break
            except NotReadyError:
                deadline.wait(0.02)
        else:
            pytest.fail("not ready within 10 s")
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def test_who_does_not_look_any_more_is_not_ready(bench: Bench) -> None:
    bench.follower.step()
    bench.clock.sleep(59)
    assert bench.follower.check() == "0 profiles, as of 59 s ago"
    bench.clock.sleep(2)
    with pytest.raises(NotReadyError, match="looked at 61 s ago"):
        bench.follower.check()


def test_its_api_has_the_profiles_and_describes_no_more(bench: Bench) -> None:
    client = create_app(bench.index, bench.clock).test_client()
    assert client.get("/v1/profiles/popular").get_json()["profiles"] == []
    assert client.get("/v1/queries").status_code == 404
    told = set(client.get("/openapi.json").get_json()["paths"])
    assert told == {
        "/v1/profiles/popular",
        "/v1/profiles",
        "/v1/facets",
        "/openapi.json",
        "/livez",
        "/readyz",
        "/version",
        "/metrics",
    }
