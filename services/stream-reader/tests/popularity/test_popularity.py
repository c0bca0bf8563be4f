"""The popularity's thread over tables in memory: whatever happens, what the table covers is in it."""

import math
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError
from pipeline_contracts.lake import stream_table
from pipeline_contracts.names import KINDS, Names
from prometheus_client import CollectorRegistry
from service_kit.clock import ManualClock
from service_kit.ops import NotReadyError
from service_kit.retries import RetryPolicy
from stream_reader.latency import Latencies
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Arrivals, Rows
from stream_reader.popularity.index import Index
from stream_reader.popularity.keeper import Pace, Popularity

NAMES = Names("t")
LIMIT = 8 * 1_000  # each row is a number
TABLES = [stream_table(NAMES, kind) for kind in KINDS]


class MemoryProfiles:
    """Commits to the stream tables (poster of each), the posts that are taken in, and the popularity table."""

    def __init__(self) -> None:
        self.commits: dict[str, list[str]] = {table: [] for table in TABLES}
        self.posts: set[tuple[str, int]] = set()
        self.table: dict[str, int] = {}
        self.changed: set[str] = set()
        self.covered = dict.fromkeys(TABLES, 0)
        self.fails: list[str] = []
        self.unusable: dict[str, str] = {}
        self.is_replaced = False
        self.starts = 0
        self.at_commit: Callable[[], None] = lambda: None

    def version(self, table: str) -> int:
        self._may_fail("version")
        return len(self.commits[table])

    def start(self) -> None:
        self._may_fail("start")
        self.starts += 1
        self.is_replaced = False
        self._catch_up()

    def replaced(self) -> bool:
        return self.is_replaced

    def put(self, rows: Rows) -> set[str]:
        self._may_fail("put")
        places = {(TABLES[KINDS.index(kind)], at) for kind, table in rows.tables for at in table["at"].to_pylist()}
        self.posts |= places
        changed = {self.commits[table][at] for table, at in places}
        self.changed |= changed
        return changed | (self._catch_up() if rows.incomplete else set())

    def all(self, as_of: datetime) -> Iterator[Any]:
        return self.of(sorted({self.commits[table][at] for table, at in self.posts}), as_of)

    def of(self, posters: Sequence[str], as_of: datetime) -> Iterator[Any]:
        self._may_fail("of")
        return (self._row(name, self.count(name)) for name in posters)

    def uncommitted(self) -> bool:
        return bool(self.changed)

    def commit(self, as_of: datetime, versions: Mapping[str, int]) -> int:
        self._may_fail("commit")
        self.at_commit()
        self.table.update({name: self.count(name) for name in self.changed})
        self.changed = set()
        self._cover(versions)
        return 1024 * 1024

    def count(self, name: str) -> int:
        return sum(self.commits[table][at] == name for table, at in self.posts)

    def _catch_up(self) -> set[str]:
        versions = {table: len(self.commits[table]) for table in TABLES}
        missed = {(table, at) for table in TABLES for at in range(self.covered[table], versions[table])}
        self.posts |= missed
        changed = {self.commits[table][at] for table, at in missed}
        self.changed |= changed
        self._cover(versions)
        return changed

    def _cover(self, versions: Mapping[str, int]) -> None:
        """What a restart would believe: it must have been taken in."""
        for table in TABLES:
            assert self.covered[table] <= versions[table]
            assert {(table, at) for at in range(versions[table])} <= self.posts
        self.covered = dict(versions)

    def _may_fail(self, what: str) -> None:
        if self.fails and self.fails[0] == what:
            self.fails.pop(0)
            raise sqlite3.OperationalError(what) if what == "put" else DeltaError(f"{what} failed")

    def _row(self, name: str, posts: int) -> Any:
        return {
            "poster_name": name, "posts": posts, "score": float(posts), "as_of": NOW, "follower_count": 1,
            "last_post_at": NOW, "cells": [], "recent_posts": [],
        }  # fmt: skip


NOW = ManualClock().now()


class Bench:
    """A thread's steps, one at a time."""

    def __init__(self, profiles: MemoryProfiles | None = None, pace: Pace | None = None) -> None:
        self.profiles = profiles or MemoryProfiles()
        self.clock = ManualClock()
        self.arrivals = Arrivals(LIMIT)
        self.index = Index(3_600)
        metrics = Metrics(CollectorRegistry())
        self.latencies = Latencies(metrics.popularity_latency)
        self.popularity = Popularity(
            self.profiles,  # type: ignore[arg-type]
            self.index,
            arrivals=self.arrivals,
            names=NAMES,
            pace=pace or Pace(0, 0, 1e9, 60, idle_wait_s=0),
            metrics=metrics,
            latencies=self.latencies,
            retries=RetryPolicy(math.inf, 0.001, 0.001, clock=self.clock),
        )

    def commit(self, poster: str, table: str = TABLES[0], *, hand_over: bool = True) -> None:
        kind = KINDS[TABLES.index(table)]
        with self.arrivals.committing(kind):
            rows = pa.table({"at": [len(self.profiles.commits[table])]})
            self.profiles.commits[table].append(poster)
            if hand_over:
                arrived_ms = self.clock.now().timestamp() * 1000 - 50
                self.arrivals.add(kind, rows, [arrived_ms], self.clock.monotonic())

    def run_to_the_end(self) -> None:
        self.popularity.stop()
        thread = threading.Thread(target=self.popularity.run, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()

    def told(self) -> dict[str, int]:
        return {row["poster_name"]: row["posts"] for row in self.index.popular(self.clock.now(), 100, {})}


def test_what_was_handed_over_is_told_and_stored() -> None:
    bench = Bench()
    bench.commit("a")
    bench.commit("a")
    bench.commit("b", TABLES[1])
    bench.run_to_the_end()
    assert bench.told() == bench.profiles.table == {"a": 2, "b": 1}
    assert bench.profiles.covered == {TABLES[0]: 2, TABLES[1]: 1, TABLES[2]: 0}
    assert bench.latencies.described() == {"count": 3, "p50_ms": 50.0, "p95_ms": 50.0}


def test_what_a_killed_process_did_not_cover_is_found() -> None:
    bench = Bench()
    bench.commit("a")
    bench.run_to_the_end()
    bench.commit("a", hand_over=False)
    bench.commit("c", hand_over=False)
    after = Bench(bench.profiles)
    after.run_to_the_end()
    assert after.told() == after.profiles.table == {"a": 2, "c": 1}


@pytest.mark.parametrize("what", ["start", "version", "put", "of", "commit"])
def test_a_failure_loses_nothing(what: str) -> None:
    bench = Bench()
    bench.commit("a")
    bench.profiles.fails = [what, what]
    bench.run_to_the_end()
    assert bench.told() == bench.profiles.table == {"a": 1}


def test_what_is_more_than_may_wait_is_read_from_the_tables() -> None:
    bench = Bench()
    bench.run_to_the_end()
    bench = Bench(bench.profiles)
    bench.popularity._step()
    for number in range(1_100):
        bench.commit(f"p{number}")
    assert bench.arrivals.take().incomplete
    for number in range(1_100):
        bench.commit(f"p{number}")
    bench.profiles.fails = ["put"]
    bench.run_to_the_end()
    assert bench.told().keys() <= bench.profiles.table.keys()
    assert bench.profiles.table == {f"p{number}": 2 for number in range(1_100)}
    assert len(bench.index) == 1_100


def test_in_any_order_of_events_what_is_covered_is_in_the_table() -> None:
    """``MemoryProfiles`` asserts it at each commit."""
    rng = random.Random(5)
    for _ in range(60):
        bench = Bench(pace=Pace(0, rng.choice([0, 3]), 1e9, 60, idle_wait_s=0))
        for _ in range(40):
            if rng.random() < 0.5:
                bench.commit(f"p{rng.randrange(6)}", rng.choice(TABLES))
            if rng.random() < 0.1:
                bench.profiles.fails = [rng.choice(["version", "put", "of", "commit"])]
            bench.clock.sleep(rng.random())
            try:
                bench.popularity._step()
            except (DeltaError, sqlite3.Error):
                continue
        bench.profiles.fails = []
        bench.run_to_the_end()
        expected = Counter(name for table in TABLES for name in bench.profiles.commits[table])
        assert bench.profiles.table == bench.told() == expected


def test_commits_keep_their_distance_and_their_share_of_the_disk() -> None:
    bench = Bench(pace=Pace(0, 4, 1 / 30, 60, idle_wait_s=0))  # each commit writes 1 MiB
    seconds: list[float] = []
    bench.profiles.at_commit = lambda: seconds.append(bench.clock.monotonic())
    bench.popularity._step()
    for _ in range(100):
        bench.commit("a")
        bench.popularity._step()
        assert bench.told()["a"] == len(bench.profiles.commits[TABLES[0]])
        bench.clock.sleep(1)
    assert seconds == [4, 34, 64, 94]


def test_tables_that_took_the_place_of_others_are_looked_at_anew() -> None:
    bench = Bench()
    bench.popularity._step()
    bench.commit("a")
    bench.profiles.fails, bench.profiles.is_replaced = ["commit"], True
    bench.run_to_the_end()
    assert bench.profiles.starts == 2
    assert bench.told() == bench.profiles.table == {"a": 1}


def test_a_failure_that_nobody_thought_of_does_not_end_the_thread() -> None:
    bench = Bench()
    bench.commit("a")
    failures: list[Exception] = [KeyError("x"), RuntimeError("y")]

    def fail() -> None:
        if failures:
            raise failures.pop()

    bench.profiles.at_commit = fail
    bench.run_to_the_end()
    assert bench.told() == bench.profiles.table == {"a": 1}


def test_a_table_that_cannot_be_used_is_told_and_tried_again() -> None:
    bench = Bench()
    bench.profiles.unusable = {"t": "the table t cannot be used: cut"}
    bench.commit("a")
    bench.popularity._step()
    assert bench.told() == {"a": 1}
    with pytest.raises(NotReadyError, match="1 profiles, without what is new in a table: the table t cannot be used"):
        bench.popularity.check()
    bench.clock.sleep(299)
    bench.popularity._step()
    assert bench.profiles.starts == 1
    bench.clock.sleep(1)
    bench.popularity._step()
    assert bench.profiles.starts == 2


def test_health() -> None:
    bench = Bench()
    with pytest.raises(NotReadyError, match="not loaded yet"):
        bench.popularity.check()
    bench.run_to_the_end()
    assert bench.popularity.check() == "0 profiles"
    bench.commit("a")
    bench.clock.sleep(61)
    with pytest.raises(NotReadyError, match="committed rows wait for 61 s"):
        bench.popularity.check()
