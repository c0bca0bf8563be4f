"""The stream reader: its tables on real Delta, and as a process on a real Kinesis."""

import json
import math
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import convert_to_deltalake, write_deltalake
from pipeline_contracts.lake import POPULARITY, STREAM_QUARANTINE, stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from pipeline_local.lake import Lake
from prometheus_client import CollectorRegistry
from pyspark.sql import DataFrame, SparkSession
from raw_objects import post
from servers import LocalStack
from service_kit.clock import SystemClock
from spark_kit.lake import Transaction
from spark_session import spark_session
from stream_process import ReaderProcess, Streams
from stream_reader.lake.delta import DeltaTables
from stream_reader.lake.fakes import MemoryTables
from stream_reader.lake.tables import StreamLake, Tables, create_all, current_view, register_views
from stream_reader.lake.upkeep import Upkeep, Upkept
from stream_reader.metrics import Metrics
from stream_reader.popularity.arrivals import Rows
from stream_reader.popularity.posts import Posts
from stream_reader.popularity.profiles import Profiles
from stream_reader.queries.decode import collect, read_rows, table_rows
from stream_reader.settings import MIB, SMALL_BATCHES, Settings

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

NAMES = Names("t")
HALF_LIFE_S = 600.0
START = datetime(2026, 1, 1, tzinfo=UTC)
KINESIS = (
    "partitionKey string, data binary, stream string, shardId string, sequenceNumber string, "
    "approximateArrivalTimestamp timestamp"
)
GROUPS = ((18, "under 18"), (25, "18-24"), (36, "25-35"), (51, "36-50"), (200, "+50"))
Event = tuple[Kind, dict[str, Any], datetime, int]
"""Kind, row, arrival, sequence number."""


# --- tables on Delta -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with spark_session(cores=2, conf=SMALL_BATCHES) as session:
        yield session


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> StreamLake:
    made = StreamLake(spark, (tmp_path / "lake").as_uri())
    create_all(DeltaTables(made.uri), NAMES)
    return made


def frame(spark: SparkSession, events: list[Event]) -> DataFrame:
    rows = [("k", json.dumps(row).encode(), "s", "shard", str(number), at) for _, row, at, number in events]
    return spark.createDataFrame(rows, KINESIS)


def rows_of(spark: SparkSession, events: list[Event], kind: Kind, log_id: str = "log") -> pa.Table:
    """A kind's events, as a batch appends them."""
    own = [event for event in events if event[0] == kind]
    return table_rows(collect(read_rows(frame(spark, own), kind, log_id)), kind)


def append(lake: StreamLake, events: list[Event]) -> None:
    """One commit to each kind's table, as batches make them."""
    for kind in KINDS:
        if rows := rows_of(lake.spark, events, kind):
            DeltaTables(lake.uri).append(stream_table(NAMES, kind), rows, Transaction(uuid.uuid4().hex, 0))


def events_of(rng: random.Random, number: int) -> list[Event]:
    """Events of few posts in any order: repeats, versions (of other posters, too), geo and user rows late or never."""
    made: list[Event] = []
    for sequence in range(number):
        ind = rng.randrange(25)
        rows = post(ind)
        rows["pin"] |= {
            "poster_name": rng.choice(["a/b", "🙂", "it's", f"p{ind % 7}", None]),
            "follower_count": rng.choice(["1k", "5M", "0", "User Info Error"]),
        }
        rows["geo"]["country"] = rng.choice(["Chad", "Cuba"])
        rows["user"]["age"] = rng.choice([17, 20, 30, 40, 60])
        kind: Kind = rng.choice(KINDS)
        made.append((kind, rows[kind], START + timedelta(seconds=10 * sequence), 9_990 + sequence))
    return made


def _ind(row: dict[str, Any]) -> int:
    return int(row["index"] if "index" in row else row["ind"])


def expected_profiles(events: list[Event], as_of: datetime) -> dict[str, tuple[float, int, dict[Any, int]]]:
    """Score, posts and posts of each cell, from the events alone."""
    current: dict[Kind, dict[int, tuple[Any, datetime]]] = {kind: {} for kind in KINDS}
    seen = set()
    for kind, row, at, _ in events:
        ind, content = _ind(row), json.dumps(row, sort_keys=True)
        if (kind, ind, content) not in seen:
            seen.add((kind, ind, content))
            current[kind][ind] = (row, at)
    counts = {"1k": 1_000, "5M": 5_000_000, "0": 0, "User Info Error": 0}
    found: dict[str, list[Any]] = defaultdict(list)
    for ind, (pin, at) in current["pin"].items():
        if pin["poster_name"] is not None:
            geo, user = current["geo"].get(ind), current["user"].get(ind)
            group = None if user is None else next(name for below, name in GROUPS if user[0]["age"] < below)
            weight = math.log10(1 + counts[pin["follower_count"]])
            weight *= 2 ** (-(as_of - at).total_seconds() / HALF_LIFE_S)
            cell = (pin["category"], None if geo is None else geo[0]["country"], group)
            found[pin["poster_name"]].append((weight, cell))
    result = {}
    for name, posts in found.items():
        cells: dict[Any, int] = defaultdict(int)
        for _, cell in posts:
            cells[cell] += 1
        result[name] = (math.fsum(weight for weight, _ in posts), len(posts), dict(cells))
    return result


def stored_profiles(lake: StreamLake, at: datetime) -> dict[str, tuple[Any, int, dict[Any, int]]]:
    """The popularity table, its scores brought to one time."""
    result = {}
    for row in lake.read(POPULARITY).toArrow().to_pylist():
        score = row["score"] * 2 ** (-(at - row["as_of"]).total_seconds() / HALF_LIFE_S)
        cells = {(cell["category"], cell["country"], cell["age_group"]): cell["posts"] for cell in row["cells"]}
        assert sum(cell["score"] for cell in row["cells"]) == pytest.approx(row["score"])
        result[row["poster_name"]] = (pytest.approx(score, rel=1e-9), row["posts"], cells)
    return result


def versions(lake: StreamLake) -> dict[str, int]:
    return {table: lake.version(table) for table in (stream_table(NAMES, kind) for kind in KINDS)}


def handed_over(lake: StreamLake, events: list[Event]) -> Rows:
    return Rows([(kind, rows_of(lake.spark, events, kind)) for kind in KINDS])


def posters_of(events: list[Event], portion: list[Event]) -> set[str]:
    """The posters of every version of the portion's posts."""
    inds = {_ind(row) for _, row, _, _ in portion}
    return {row["poster_name"] for kind, row, _, _ in events if kind == "pin" and _ind(row) in inds} - {None}


@pytest.fixture
def profiles_on(tmp_path: Path) -> Iterator[Callable[..., Profiles]]:
    """A process' profiles; the next one has the same file of posts."""
    opened: list[Posts] = []

    def made(lake: StreamLake, half_life_s: float = HALF_LIFE_S) -> Profiles:
        for posts in opened:
            posts.close()
        opened.append(Posts(tmp_path / "posts.sqlite"))
        return Profiles(DeltaTables(lake.uri), NAMES, opened[-1], half_life_s)

    yield made
    opened[-1].close()


def test_profiles_follow_the_tables_whatever_arrives(lake: StreamLake, profiles_on: Callable[..., Profiles]) -> None:
    """Portion by portion: late rows, replays, other versions by other posters; killed before a commit and gone on."""
    rng = random.Random(11)
    events = events_of(rng, 160)
    profiles = profiles_on(lake)
    profiles.start()
    now = START + timedelta(hours=1)
    for portion in range(4):
        part = events[portion * 40 : portion * 40 + 40]
        append(lake, part)
        if portion == 2:
            profiles = profiles_on(lake)
            profiles.start()
            assert profiles.uncommitted()
            assert profiles.put(Rows(incomplete=True)) == posters_of(events[: portion * 40 + 40], part)
        elif portion == 3:
            assert profiles.put(Rows(incomplete=True)) == posters_of(events[: portion * 40 + 40], part)
        else:
            changed = profiles.put(handed_over(lake, part))
            assert changed == posters_of(events[: portion * 40 + 40], part)
            assert changed == profiles.put(handed_over(lake, part))
        profiles.commit(now, versions(lake))
        assert not profiles.uncommitted()
        assert stored_profiles(lake, now) == expected_profiles(events[: portion * 40 + 40], now)
        now += timedelta(seconds=77)
    before = lake.version(POPULARITY)
    after = profiles_on(lake)
    after.start()
    assert not after.uncommitted()
    append(lake, events[:30])
    after.put(handed_over(lake, events[:30]))
    after.commit(now, versions(lake))
    assert stored_profiles(lake, now) == expected_profiles(events, now)
    assert lake.version(POPULARITY) > before


def test_profiles_survive_compaction_and_a_lost_file(
    lake: StreamLake, profiles_on: Callable[..., Profiles], tmp_path: Path
) -> None:
    rng = random.Random(12)
    events = events_of(rng, 90)
    now = START + timedelta(hours=1)
    append(lake, events[:30])
    profiles = profiles_on(lake)
    profiles.start()
    profiles.commit(now, versions(lake))
    assert stored_profiles(lake, now) == expected_profiles(events[:30], now)

    append(lake, events[30:60])
    for kind in KINDS:
        assert lake.compact(stream_table(NAMES, kind), 1)
    profiles = profiles_on(lake)
    profiles.start()
    profiles.commit(now, versions(lake))
    assert stored_profiles(lake, now) == expected_profiles(events[:60], now)

    # Without its file, and with a table that tells of a profile that the stream tables do not know.
    profiles.put(handed_over(lake, [("pin", post(99, poster_name="gone")["pin"], START, 1)]))
    profiles.commit(now, versions(lake))
    assert "gone" in stored_profiles(lake, now)
    (tmp_path / "posts.sqlite").rename(tmp_path / "lost")
    append(lake, events[60:])
    profiles = profiles_on(lake)
    profiles.start()
    assert {profile["poster_name"] for profile in profiles.all(now)} == expected_profiles(events, now).keys()
    profiles.commit(now, versions(lake))
    assert stored_profiles(lake, now) == expected_profiles(events, now)

    other = profiles_on(lake, half_life_s=60)
    other.start()
    assert other.uncommitted(), "the scores of another half life are others"


def test_posts_of_other_tables_are_not_used(
    lake: StreamLake, profiles_on: Callable[..., Profiles], tmp_path: Path
) -> None:
    now = START + timedelta(hours=1)
    append(lake, [("pin", post(1, poster_name="old")["pin"], START, 1)])
    profiles = profiles_on(lake)
    profiles.start()
    profiles.commit(now, versions(lake))
    made_anew = StreamLake(lake.spark, (tmp_path / "another").as_uri())
    create_all(DeltaTables(made_anew.uri), NAMES)
    append(made_anew, [("pin", post(1, poster_name="new")["pin"], START, 1)])
    profiles = profiles_on(made_anew)
    profiles.start()
    assert [profile["poster_name"] for profile in profiles.all(now)] == ["new"]


def copied_to_s3(lake: Path, localstack: LocalStack) -> DeltaTables:
    """The tables of a lake on disk, in a bucket of their own."""
    bucket = boto3.resource("s3", endpoint_url=localstack.endpoint_url).Bucket(uuid.uuid4().hex)
    bucket.create()
    for file in lake.rglob("*"):
        if file.is_file():
            bucket.upload_file(str(file), f"lake/{file.relative_to(lake)}")
    uri = f"s3://{bucket.name}/lake"
    settings = Settings(LAKE_URI=uri, AWS_ENDPOINT_URL=localstack.endpoint_url, state_dir=lake)  # type: ignore[call-arg]
    return DeltaTables(uri, settings.storage_options)


def test_times_of_every_century_in_s3(localstack: LocalStack, tmp_path: Path) -> None:
    """In the form that Spark wrote once. (On a disk: the service's own tests.)"""
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, 3, 4, 5, 678901, UTC)]
    written = pa.table({"at": pa.array(times, pa.timestamp("us", "UTC"))})
    (tmp_path / "t").mkdir()
    pq.write_table(written, tmp_path / "t" / "part.parquet", use_deprecated_int96_timestamps=True)
    convert_to_deltalake(tmp_path / "t")
    (read,) = copied_to_s3(tmp_path, localstack).read("t", ["at"])
    assert read["at"].to_pylist() == times


@pytest.mark.parametrize("place", ["disk", "S3"])
def test_the_tables_are_like_those_in_memory(
    place: str, spark: SparkSession, lake: StreamLake, request: pytest.FixtureRequest
) -> None:
    """What batches do; and Spark reads what was written."""
    table = stream_table(NAMES, "geo")
    memory = MemoryTables({table: lake.read(table).limit(0).toArrow().schema})
    if place == "disk":
        real = DeltaTables(lake.uri)
    else:
        real = copied_to_s3(Path(lake.uri.removeprefix("file://")), request.getfixturevalue("localstack"))
    assert (real.version(table), real.id(table)) == (0, lake.delta(table).detail().collect()[0]["id"])
    rng = random.Random(13)
    for number, version in enumerate((0, 1, 1, 0, 5, 2)):
        rows = rows_of(spark, events_of(rng, 12), "geo", f"log{number}")
        for application in ("one", "two") if number > 3 else ("one",):
            for each in (real, memory):
                each.append(table, rows, Transaction(application, version))

    def content(of: Tables, where: pc.Expression | None = None, since: int | None = None) -> list[str]:
        columns = ("ind", "country", "log_id", "offset", "recorded_at")
        return sorted(str(row) for rows in of.read(table, columns, where, since) for row in rows.to_pylist())

    assert real.version(table) == 4
    early = pc.field("recorded_at") < START + timedelta(seconds=60)
    for where in (None, pc.field("log_id") == "log1", early, pc.field("log_id") == "none"):
        for since in (None, 0, 1, 3, 4):
            assert content(real, where, since) == content(memory, where, since)
    assert content(real, early)
    assert not content(real, since=4)
    if place == "disk":
        written = lake.read(table).select("ind", "country", "log_id", "offset", "recorded_at").toArrow().to_pylist()
        assert sorted(map(str, written)) == content(real)
        assert lake.compact(table, 1)
        assert real.version(table) == 5
        assert content(real) == content(memory)
        real.append(table, rows_of(spark, events_of(rng, 12), "geo", "after"), Transaction("one", 6))
        assert lake.read(table).where("log_id = 'after'").count() > 0


def test_people_can_query_the_current_rows(spark: SparkSession, lake: StreamLake) -> None:
    at = START
    rows = [post(1, title="old"), post(1, title="new"), post(1, title="old"), post(2)]
    append(lake, [("pin", row["pin"], at + timedelta(seconds=n), n) for n, row in enumerate(rows)])
    register_views(spark, lake.uri, NAMES)
    found = spark.sql(f"SELECT ind, title, size(superseded) n FROM {current_view(NAMES, 'pin')} ORDER BY ind").collect()
    assert [tuple(row) for row in found] == [(1, "new", 1), (2, "title 2", 0)]


def test_thousands_of_small_commits_stay_few_files(
    lake: StreamLake, profiles_on: Callable[..., Profiles], tmp_path: Path
) -> None:
    """Simulated arrival: delta-rs commits quickly. Reading, popularity and the next start do not slow down."""
    table = stream_table(NAMES, "pin")
    append(lake, [("pin", post(0)["pin"], START, 0)])
    folder = str(tmp_path / "lake" / table)
    stored = Lake(tmp_path / "lake").dataset(table)
    assert stored is not None
    row = stored.to_table()
    metrics = Metrics(CollectorRegistry())
    kept = Upkept(table, 64, 4 * MIB, 0.0, nullcontext)
    upkeep = Upkeep(lake, [kept], 1.0, metrics, SystemClock())
    commits = 1_500
    for number in range(1, commits + 1):
        index = row.schema.get_field_index("ind")
        write_deltalake(
            folder, row.set_column(index, row.schema.field("ind"), pa.array([number], pa.int32())), mode="append"
        )
        if number % 500 == 0:
            assert upkeep.keep(kept)
    assert not upkeep.keep(kept)
    found = lake.delta(table).detail().collect()[0]
    assert found["numFiles"] <= 64
    assert len(list(Path(folder).glob("*.parquet"))) <= 64
    start = time.monotonic()
    assert lake.read(table).selectExpr("count(distinct ind)").collect()[0][0] == commits + 1
    assert time.monotonic() - start < 10
    profiles = profiles_on(lake)
    start = time.monotonic()
    profiles.start()
    (profile,) = profiles.all(START)
    assert profile["posts"] == commits + 1
    assert time.monotonic() - start < 10


# --- the process -----------------------------------------------------------------------------------------------


def make_posts(first: int, beyond: int) -> list[dict[Kind, dict[str, Any]]]:
    return [post(ind, poster_name=f'poster/{ind % 5} "🙂"') for ind in range(first, beyond)]


def inds(reader: ReaderProcess, kind: Kind) -> list[int]:
    """As they are in the table: one that is there twice is here twice."""
    return sorted(row["ind"] for row in reader.stream_rows(kind))


def more_stored(reader: ReaderProcess, than: int) -> bool:
    return len(reader.stream_rows("pin")) > than


def all_stored(reader: ReaderProcess, posts: int) -> bool:
    """At least as many rows as posts in each table, and all of them counted for their profiles, in the table, too."""
    if any(len(reader.stream_rows(kind)) < posts for kind in KINDS):
        return False
    rows = reader.rows(POPULARITY)
    return sum(row["posts"] for row in rows) >= posts and all(
        None not in (cell["country"], cell["age_group"]) for row in rows for cell in row["cells"]
    )


def assert_exactly(reader: ReaderProcess, posts: int) -> None:
    for kind in KINDS:
        assert inds(reader, kind) == list(range(posts)), kind
        places = [(row["log_id"], row["partition"], row["offset"]) for row in reader.stream_rows(kind)]
        assert len(set(places)) == len(places)
    profiles = {row["poster_name"]: row["posts"] for row in reader.rows(POPULARITY)}
    expected: dict[str, int] = defaultdict(int)
    for one in make_posts(0, posts):
        expected[one["pin"]["poster_name"]] += 1
    assert profiles == expected
    told = {row["poster_name"]: row["posts"] for row in reader.popular(limit=100)}
    assert told == expected


def test_killed_again_and_again_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    """kill -9 of the reader with its JVM, twenty times at any moment, while posts arrive and a shard is split and
    merged; once of Kinesis; then an orderly stop and start.
    """
    names = Names("killed")
    rng = random.Random()
    with LocalStack(tmp_path / "localstack") as localstack:
        streams = Streams(localstack.endpoint_url, names)
        streams.create()
        reader = ReaderProcess(localstack.endpoint_url, names, tmp_path, profiles_commit_s=1)
        reader.up()
        streams.put_posts(make_posts(0, 50))
        reader.wait_for("first posts", lambda: all_stored(reader, 50))
        bad = streams.put("pin", [("k", b"not json"), ("k", b"\xff"), ("k", b"x" * 1_000_000)])
        sent = 50
        for kill in range(20):
            # Some among batches that follow each other, the others anywhere from the start on.
            among_batches = kill % 3 == 0
            stored = len(reader.stream_rows("pin"))
            streams.put_posts(make_posts(sent, sent + 10))
            sent += 10
            if among_batches:
                reader.wait_for("another batch", partial(more_stored, reader, stored))
            time.sleep(rng.uniform(0, 2 if among_batches else 8))
            reader.kill()
            if kill == 6:
                streams.split("pin", 1, 3 * 2**126)
            elif kill == 13:
                streams.merge("pin", 2, 3)
            streams.put_posts(make_posts(sent, sent + 10))
            sent += 10
            reader.start()
        localstack.kill()
        localstack.start()
        reader.wait_for("Kinesis", streams.answer)
        streams.put_posts(make_posts(sent, sent + 20))
        sent += 20
        reader.wait_for("all posts", lambda: all_stored(reader, sent))
        reader.wait_for("ready again", reader.is_ready)
        assert_exactly(reader, sent)
        assert {row["partition"] for row in reader.stream_rows("pin")} >= {
            f"shardId-{number:012}" for number in (2, 3, 4)
        }
        rejected = {(row["partition"], row["offset"]): row["reason"] for row in reader.rows(STREAM_QUARANTINE)}
        assert rejected == dict.fromkeys(bad, "not_json")
        assert len(reader.rows(STREAM_QUARANTINE)) == len(bad)
        one = reader.get("/v1/profiles?name=poster%2F1%20%22%F0%9F%99%82%22")
        assert one["posts"] == sent // 5
        latencies = reader.get("/v1/latencies")
        assert latencies["table"]["count"] >= 20
        assert latencies["popularity"]["p95_ms"] > 0
        before = reader.log.stat().st_size
        assert reader.stop() == 0
        assert '"in_time": true' in reader.log.read_text()[before:]
        reader.up()
        assert_exactly(reader, sent)
        assert reader.stop() == 0


def test_rejects_a_stream_made_anew_and_a_lost_checkpoint(localstack: LocalStack, tmp_path: Path) -> None:
    names = Names("trouble")
    streams = Streams(localstack.endpoint_url, names)
    streams.create(shards=1)
    reader = ReaderProcess(localstack.endpoint_url, names, tmp_path, reject_minimum=100, profiles_commit_s=1)
    reader.up()

    # A flood of bad records stops nothing: not ready, over a restart too, until good ones are the most again.
    streams.put("geo", [("k", b"[]")] * 120)
    streams.put_posts(make_posts(0, 30))
    reader.wait_for("all", lambda: all_stored(reader, 30))
    reader.wait_for("/readyz names it", lambda: b"records were rejected" in reader.request("/readyz")[1])
    reader.kill()
    reader.start()
    reader.wait_for("/readyz names it again", lambda: b"records were rejected" in reader.request("/readyz")[1])
    reader.wait_for("all run", lambda: all(reader.query(kind)["state"] == "running" for kind in KINDS))
    assert not reader.is_ready()
    assert [kind for kind in KINDS if reader.query(kind)["problem"] is not None] == ["geo"]
    assert_exactly(reader, 30)
    streams.put("geo", [(str(ind), json.dumps(post(ind)["geo"]).encode()) for ind in range(30, 130)])
    reader.wait_for("ready", reader.is_ready)
    assert len(reader.rows(STREAM_QUARANTINE)) == 120

    # A stream that was recreated: the reader goes over to it, with another log id in its rows.
    old = reader.query("user")["log_id"]
    streams.delete("user")
    time.sleep(1.1)  # its creation time has seconds
    streams.create("user", shards=1)
    streams.put("user", [(str(ind), json.dumps(post(ind)["user"]).encode()) for ind in range(30, 35)])
    reader.wait_for("users of the new stream", lambda: len(reader.stream_rows("user")) == 35)
    new = reader.query("user")["log_id"]
    assert new != old
    assert {row["log_id"] for row in reader.stream_rows("user")} == {old, new}
    assert "stream was recreated" in reader.log.read_text()
    assert reader.stop() == 0

    # Without its checkpoints it begins at the oldest record: nothing twice, and nothing left out.
    for folder in sorted((reader.state / "checkpoints").rglob("*"), reverse=True):
        folder.unlink() if folder.is_file() else folder.rmdir()
    streams.put("pin", [(str(ind), json.dumps(post(ind)["pin"]).encode()) for ind in range(30, 33)])
    streams.put("geo", [("k", b"[1]")])
    reader.up()
    reader.wait_for("new ones", lambda: len(inds(reader, "pin")) >= 33 and len(reader.rows(STREAM_QUARANTINE)) >= 121)
    reader.wait_for("all read", lambda: all(reader.query(kind)["lag_ms"] == 0 for kind in KINDS))
    assert inds(reader, "pin") == list(range(33))
    assert inds(reader, "geo") == list(range(130))
    assert inds(reader, "user") == list(range(35))
    assert len(reader.rows(STREAM_QUARANTINE)) == 121
    assert reader.stop() == 0


def test_a_reader_that_cannot_start_says_why(tmp_path: Path) -> None:
    reader = ReaderProcess("http://127.0.0.1:9", Names("other"), tmp_path, rehearse="false")
    reader.start()
    reader.wait_for("alive", lambda: reader.request("/livez")[0] == 200)
    reader.wait_for("it says why", lambda: b"cannot be described" in reader.request("/readyz")[1])
    second = ReaderProcess("http://127.0.0.1:9", Names("other"), tmp_path, lock_wait_s="0.1")
    second.log = tmp_path / "second"
    second.start()
    assert second.child is not None
    assert second.child.wait(60) == 3
    assert "stream-reader (pid" in second.log.read_text()
    assert reader.stop() == 0
