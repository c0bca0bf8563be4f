"""The analyser's tasks on real S3, Spark and Delta."""

import base64
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from batch_analyser.jobs import answers, audit, clean, find_new, ingest, upkeep
from batch_analyser.jobs.catalogue import run_task
from batch_analyser.lake import SCHEMAS, UPKEEP, DamagedLakeError, Lake
from batch_analyser.service.store import RunStore
from batch_analyser.service.worker import Worker
from batch_analyser.settings import AnalyserSettings
from pipeline_contracts import dead_letters
from pipeline_contracts.lake import EVENTS, OBJECTS, QUARANTINE, RUNS, Cleaned, gold, silver
from pipeline_contracts.names import KINDS
from pipeline_local import lake as local_lake
from pipeline_local.audit.fates import Acknowledged, Stages
from pipeline_local.audit.fates import audit as judged
from pipeline_local.layout import Layout
from pipeline_transforms.answers import ANSWERS, COUNTS
from pipeline_transforms.cleaning import clean as cleaned
from pyspark.sql import SparkSession
from pyspark.sql import functions as fn
from pyspark.sql.types import StructType
from raw_objects import CountingProxy, RawObjects, post
from servers import LocalStack
from service_kit.clock import ManualClock, SystemClock
from spark_kit import on_disk
from spark_kit.fence import local_folder
from spark_kit.session import build_session, stop_session
from spark_kit.tables import Written
from waiting import wait_until

pytestmark = pytest.mark.spark

TABLES = [*SCHEMAS, *map(silver, KINDS), *map(gold, [*ANSWERS, *COUNTS])]

MakeSettings = Callable[..., AnalyserSettings]


class CrashError(Exception):
    """What a test raises between two commits."""


@pytest.fixture(scope="module")
def spark(localstack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("TZ", "UTC")
        time.tzset()
        session = build_session(make_settings(localstack.endpoint_url, folder).session())
        yield session
        stop_session(session)
    time.tzset()


@pytest.fixture
def raw(localstack: LocalStack, request: pytest.FixtureRequest) -> RawObjects:
    number = request.session.items.index(request.node)
    return RawObjects(localstack.endpoint_url, f"an-{number}-{time.time_ns() % 10**6}")


@pytest.fixture
def settings(localstack: LocalStack, raw: RawObjects, tmp_path: Path) -> AnalyserSettings:
    """Of a lake in a folder whose name is another one in its URI."""
    return make_settings(localstack.endpoint_url, tmp_path / "my läke 100%", PIPELINE_ID=raw.names.pipeline_id)


def make_settings(endpoint_url: str, folder: Path, **more: Any) -> AnalyserSettings:
    layout = Layout.of_checkout()
    values = {
        "LAKE_URI": (folder / "lake").as_uri(),
        "AWS_ENDPOINT_URL": endpoint_url,
        "SPARK_JARS_DIR": layout.spark_jars,
        "SPARK_ARCHIVE_DIR": layout.class_archives,
        "short_lived": True,
        **more,
    }
    return AnalyserSettings(**values)


def contents(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    """Silver, less what may differ between two ways to the same state."""
    return {
        kind: sorted(
            (
                row["ind"],
                row["content_hash"],
                row["log_id"],
                row["partition"],
                row["offset"],
                tuple(other["content_hash"] for other in row["superseded"]),
            )
            for row in lake.read(silver(kind)).collect()
        )
        for kind in KINDS
    }


def versions(lake: Lake) -> dict[str, int]:
    return {table: lake.version(table) for table in TABLES if lake.exists(table)}


def assert_spark_reads_the_logs_alike(lake: Lake, *tables: str) -> None:
    """As delta-rs does; they may take a commit's time from the file or from what it says."""
    by_spark = replace(lake, use_delta_rs=False)
    for table in tables:
        commits = list(lake.history(table))
        for one, other in zip(commits, by_spark.history(table), strict=True):
            assert abs(one.at - other.at) < timedelta(seconds=10)
            assert replace(one, at=other.at) == other
        assert list(lake.history(table, 1)) == commits[:1]


def test_spark_makes_and_overwrites_tables_alike(spark: SparkSession, tmp_path: Path) -> None:
    """As delta-rs does on a disk: what the lake is in S3 and on Databricks."""
    lakes = [
        Lake(spark, (tmp_path / "delta-rs").as_uri()),
        Lake(spark, (tmp_path / "spark").as_uri(), use_delta_rs=False),
    ]
    first = spark.range(0, 1000, 1, 4).selectExpr("999 - id as a").orderBy("a")
    second = spark.sql(
        "select 'x' as text, 2 as n, 3L as many, 1.5D as d, timestamp'2026-01-02 03:04:05.678901Z' as at"
        " union all select null, null, null, null, null"
    )
    for lake in lakes:
        assert not lake.exists(EVENTS)
        lake.create_all()
        assert lake.exists(EVENTS)
        assert [lake.overwrite("gold/x", rows) for rows in (first, second)] == [Written(0, 1000), Written(1, 2)]
        lake.append_few(silver("geo"), lake.read(silver("geo")).toArrow(), "mark")
        lake.append_few(silver("geo"), lake.read(silver("geo")).toArrow())  # neither a row nor a note: no commit
        lake.append_few(UPKEEP, spark.sql("select 'x' as table, timestamp'2026-01-02 03:04:05Z' as at").toArrow())
        assert (list(lake.notes(silver("geo"))), lake.version(silver("geo"))) == (["mark"], 1)
        assert [row["a"] for row in lake.read("gold/x", 0).collect()] == list(range(1000)), "in the order of the rows"
    one, other = lakes
    assert contents_of(one, "gold/x", 0) == contents_of(other, "gold/x", 0)
    what = ("partitionColumns", "numFiles", "properties", "minReaderVersion", "minWriterVersion")
    for table in (EVENTS, silver("pin"), UPKEEP, "gold/x"):
        assert contents_of(one, table) == contents_of(other, table)
        assert len({str(lake.delta(table).detail().select(*what).collect()) for lake in lakes}) == 1


def contents_of(lake: Lake, table: str, version: int | None = None) -> tuple[StructType, list[str]]:
    frame = lake.read(table, version)
    return frame.schema, sorted(map(str, frame.collect()))


def nothing_is_few(patch: pytest.MonkeyPatch) -> None:
    """Let Spark fetch, read and write everything, as it does with more than some megabytes."""
    patch.setattr(ingest, "_FEW_BYTES", -1)  # found out by reading
    patch.setattr(clean, "_FEW_BYTES", -1)
    patch.setattr(on_disk, "_FEW_FILE_BYTES", -1)


def test_many_records_end_as_few_do(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few are fetched, read and written by this process, many by Spark: the same rows, counts and marks."""
    by_spark = settings.model_copy(update={"lake_uri": (tmp_path / "many").as_uri()})
    lakes = [Lake(spark, one.lake_uri) for one in (settings, by_spark)]
    good = [post(ind)["pin"] for ind in range(9)]
    counts = []
    later = [post(3, category="late")["pin"], post(90)["pin"] | {"new": 1}, good[4], post(2)["user"]]
    for number, (first, rows) in enumerate(
        (
            (0, [*good, post(1)["geo"]]),
            (100, later),
            (100, [*later, good[4]]),  # longer than it was, by nothing but a repeat
        )
    ):
        raw.put("pin", rows, first)
        reports = []
        for one in (settings, by_spark):
            with monkeypatch.context() as limits:
                if one is by_spark:
                    nothing_is_few(limits)
                taken = ingest.run(spark, one)
                (report,) = clean.run(spark, one).kinds.values()
            reports.append((replace(taken, seconds={}), replace(report, seconds=0.0)))
        assert reports[0] == reports[1]
        assert [lake.cleaned("pin") for lake in lakes] == [Cleaned(number + 1)] * 2
        assert len({str(contents_of(lake, silver("pin"))) for lake in lakes}) == 1
        held = [lake.read(QUARANTINE).drop("quarantined_at").orderBy("offset").collect() for lake in lakes]
        assert held[0] == held[1]
        assert [row["reason"] for row in held[0]] == ["wrong_kind"] * min(number + 1, 2)
        bronze = [lake.read(EVENTS).drop("ingested_at").orderBy("offset").collect() for lake in lakes]
        assert bronze[0] == bronze[1]
        counts.append((taken.records, taken.known, report.inserted, report.updated, report.unknown_fields))
    assert [count[:2] for count in counts] == [(10, 0), (4, 0), (1, 4)]
    assert [count[2:4] for count in counts] == [(9, 0), (1, 1), (0, 0)]
    assert [count[4] for count in counts] == [4, 5, 0], "those of another kind's row, and one that is new"
    assert fates(spark, settings) == {
        "in_objects": 15, "in_bronze": 15, "current": 10, "superseded": 1, "repeated": 2, "quarantined": 2,
        "dead_lettered": 0, "in_flight": 0,
    }  # fmt: skip


def fates(spark: SparkSession, settings: AnalyserSettings, *, recount: bool = False) -> dict[str, int]:
    report = audit.run(spark, settings, recount=recount)
    assert report.problems == []
    return {name: sum(getattr(row, name) for row in report.rows) for name in audit.COUNTS}


def test_a_second_run_reads_no_object_and_makes_no_version(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw.put_posts(range(20))
    lake = Lake(spark, settings.lake_uri)
    with CountingProxy(settings.aws_endpoint_url or "") as proxy:
        counted = settings.model_copy(update={"aws_endpoint_url": proxy.endpoint_url})
        assert ingest.run(spark, counted).records == 60
        assert len(proxy.reads) == 3
        clean.run(spark, settings)
        first = answers.run(spark, settings)
        before = versions(lake)
        assert not first.nothing_new
        assert len(before) == len(TABLES)

        proxy.reads.clear()
        start = time.monotonic()
        assert ingest.run(spark, counted).objects == 0
        assert clean.run(spark, settings).kinds == {}
        again = answers.run(spark, settings)
        assert (again.nothing_new, again.run_id) == (True, first.run_id)
        assert time.monotonic() - start < 60
        assert proxy.reads == []
        assert versions(lake) == before

        # Late data change exactly what they should: one new version of a post, one new post, one repeat.
        raw.put("pin", [post(3, category="late")["pin"], post(90)["pin"], post(4)["pin"]], 20)
        was = contents(lake)
        assert ingest.run(spark, counted).records == 3
        assert len(proxy.reads) == 1
    done = clean.run(spark, settings).kinds
    assert {kind: (report.inserted, report.updated) for kind, report in done.items()} == {"pin": (1, 1)}
    now = contents(lake)
    changed = {row[0] for row in set(now["pin"]) ^ set(was["pin"])}
    assert changed == {3, 90}
    assert (now["geo"], now["user"]) == (was["geo"], was["user"])
    assert versions(lake)[silver("geo")] == before[silver("geo")]
    set_back = ManualClock()
    late = answers.run(spark, settings, clock=set_back)
    assert late.run_id != first.run_id
    assert answers.run(spark, settings, clock=set_back).nothing_new, "the last run is the last, whatever the clock says"
    found = answers.stored(spark, settings)
    assert found is not None
    categories = {row["category"] for row in lake.read(gold("most_popular_category_by_country_counts")).collect()}
    assert "late" in categories
    assert fates(spark, settings, recount=True) == {
        "in_objects": 63,
        "in_bronze": 63,
        "current": 61,
        "superseded": 1,
        "repeated": 1,
        "quarantined": 0,
        "dead_lettered": 0,
        "in_flight": 0,
    }
    assert "MERGE" in {commit.operation for commit in lake.history(silver("pin"))}
    assert_spark_reads_the_logs_alike(lake, silver("pin"), RUNS, gold("top_poster_by_country"))

    # A question that is newer than the last run is answered, though the data are not.
    asked = {**ANSWERS, "new": ANSWERS["users_joined_by_year"]}
    monkeypatch.setattr(answers, "ANSWERS", asked)
    found = answers.stored(spark, settings)
    assert found is not None
    assert found[1].keys() == ANSWERS.keys()
    assert not answers.run(spark, settings).nothing_new
    assert answers.run(spark, settings).nothing_new
    found = answers.stored(spark, settings)
    assert found is not None
    assert found[1].keys() == asked.keys()


def test_an_object_written_again_longer_and_shorter(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings
) -> None:
    pins = [post(ind)["pin"] for ind in range(16)]
    raw.put("pin", pins[:10])
    assert ingest.run(spark, settings).records == 10
    raw.put("pin", pins[:14])
    longer = ingest.run(spark, settings)
    assert (longer.records, longer.known) == (4, 10)
    raw.put("pin", pins[:4])
    raw.put("pin", pins[4:], 4)
    raw.put("pin", pins[12:], 12)  # a stale object that overlaps
    shorter = ingest.run(spark, settings)
    assert (shorter.records, shorter.known) == (2, 18)
    clean.run(spark, settings)
    assert fates(spark, settings)["current"] == 16


def test_a_log_made_anew_and_a_bucket_made_anew(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings
) -> None:
    first = raw.put("pin", [post(1)["pin"], post(2)["pin"]])
    ingest.run(spark, settings)
    raw.put("pin", [post(1, title="new log")["pin"]], log_id="L+2/", in_name=True, seconds=100)
    assert ingest.run(spark, settings).records == 1
    raw.client.delete_object(Bucket=raw.names.bucket, Key=first)
    raw.put("pin", [post(1)["pin"]])
    raw.put("pin", [post(2)["pin"], post(3)["pin"]], 1)
    assert ingest.run(spark, settings).records == 1
    clean.run(spark, settings)
    assert fates(spark, settings)["superseded"] == 1
    logs = {row["log_id"] for row in Lake(spark, settings.lake_uri).read(EVENTS).collect()}
    assert logs == {"LOG", "L+2/"}


def test_what_cannot_be_read_is_reported_and_the_rest_is_taken(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings
) -> None:
    lake = Lake(spark, settings.lake_uri)
    pins = [json.dumps(post(ind)["pin"]) for ind in range(100, 160)]
    whole = raw.put("pin", [json.loads(pin) for pin in pins])
    full = raw.body(whole)
    raw.put_bytes(whole, full[:-200], **{"log-id": "LOG"})
    # Other installations: bare rows, ten digits, plain, no newline at the end; no coordinate in the name; an array.
    topic = raw.names.topic("geo")
    bare = [json.dumps(post(ind)["geo"]) for ind in range(3)]
    raw.put_bytes(f"topics/{topic}/partition=0/{topic}+0+0000000007.json", "\n".join(bare).encode())
    raw.put_bytes(f"topics/{topic}/partition=0/rows.json", ("[" + ",".join(bare) + "]").encode())
    # Half-written, and a record of the wrong kind.
    user = (
        json.dumps({"offset": 0, "value": post(1)["user"]}) + "\n" + json.dumps({"offset": 1, "value": post(1)["pin"]})
    )
    topic = raw.names.topic("user")
    raw.put_bytes(f"topics/{topic}/partition=2/{topic}+2+{0:020d}.jsonl", (user + '\n{"offset":2,"val' * 3).encode())
    # A folder of somebody's own below the partition.
    raw.put_bytes(f"topics/{topic}/partition=2/2020/07/rows.json", json.dumps(post(7)["user"]).encode())
    # A dead letter, twice.
    headers = {
        dead_letters.TOPIC: raw.names.topic("pin"),
        dead_letters.PARTITION: "1",
        dead_letters.OFFSET: "5",
        dead_letters.LOG_ID: "LOG",
    }
    letter = {
        "headers": [{"key": key, "value": value} for key, value in headers.items()],
        "value": base64.b64encode(b"\xff{").decode(),
    }
    topic = raw.names.dead_letter_topic
    letters = "".join(json.dumps({**letter, "offset": offset}) + "\n" for offset in (0, 1))
    raw.put_bytes(f"topics/{topic}/partition=0/{topic}+0+{0:020d}.jsonl.gz", gzip.compress(letters.encode()))

    report = ingest.run(spark, settings)
    assert report.dead_letters == 1
    taken = lake.read(EVENTS).where("topic LIKE '%.pin'").count()
    assert 0 < taken < 60
    assert {entry["problem"] for entry in report.unreadable} == {
        f"line {taken + 1}: the gzip stream ends early",
        "; ".join(f"line {line}: the line is not JSON" for line in (3, 4, 5)),
    }
    clean.run(spark, settings)
    columns = ("source", "reason", "offset", "line", "raw_bytes")
    held = {tuple(row[name] for name in columns) for row in lake.read(QUARANTINE).collect()}
    cut = next(row[4] for row in held if row[3] == taken + 1)
    assert held == {
        ("object", "not_json", None, taken + 1, cut),
        *(("object", "not_json", 2, line, 16) for line in (3, 4, 5)),
        ("dead_letter", "not_json", 5, None, None),
        ("record", "wrong_kind", 1, None, None),
    }
    assert lake.read(QUARANTINE).count() == len(held), "equal lines of one object are each kept"
    assert len(contents(lake)["user"]) == 2
    raws = {base64.b64decode(row["raw_base64"]) for row in lake.read(QUARANTINE).where("source <> 'record'").collect()}
    assert b"\xff{" in raws
    assert b'{"offset":2,"val' in raws
    offsets = {row["log_id"]: row["offset"] for row in lake.read(EVENTS).where("topic LIKE '%.geo'").collect()}
    assert len(offsets) == 2  # the name's coordinate, and the object as its own log
    assert len(contents(lake)["geo"]) == 3
    before = lake.version(QUARANTINE)

    raw.put_bytes(whole, full, **{"log-id": "LOG"})
    ingest.run(spark, settings)
    clean.run(spark, settings)
    assert len(contents(lake)["pin"]) == 60
    assert lake.version(QUARANTINE) == before
    found = audit.run(spark, settings)
    assert found.ok
    assert len(found.unreadable_objects) == 1


def test_the_ledger_is_not_read_for_what_its_newest_commit_notes(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a run's cost does not grow with the objects that were read before."""
    lake = Lake(spark, settings.lake_uri)
    raw.put_posts(range(4))
    ingest.run(spark, settings)
    raw.put_posts(range(4, 6), 4)
    whole = find_new.tails

    def never(_ledger: object) -> None:
        raise AssertionError("the whole ledger was read")

    monkeypatch.setattr(find_new, "tails", never)
    assert ingest.run(spark, settings).records == 6
    assert ingest.run(spark, settings).objects == 0
    assert find_new.known_tails(lake) == whole(lake.read(OBJECTS))
    lake.compact(OBJECTS, 1)
    assert find_new.known_tails(lake) == whole(lake.read(OBJECTS))
    monkeypatch.undo()
    topic = raw.names.topic("pin")
    raw.put_bytes(f"topics/{topic}/partition=0/rows.json", json.dumps(post(9)["pin"]).encode())
    assert ingest.run(spark, settings).records == 1
    assert find_new.known_tails(lake) == whole(lake.read(OBJECTS)), "where nothing is noted it is read"


def test_answers_that_cannot_be_read_are_computed_anew_and_other_tables_are_named(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings
) -> None:
    raw.put_posts(range(4))
    for job in (ingest, clean, answers):
        job.run(spark, settings)
    before = answers.stored(spark, settings)
    assert before is not None
    root = local_folder(settings.lake_uri)
    assert root is not None
    tables = [root / gold(name) for name in (*ANSWERS, *COUNTS)]
    for table, kept in zip(tables[:3], (100, 0), strict=False):
        log = max((table / "_delta_log").glob("*.json"))
        log.write_bytes(log.read_bytes()[:kept])
    for file in tables[3].glob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-20])
    again = answers.run(spark, settings)
    assert not again.nothing_new
    after = answers.stored(spark, settings)
    assert after is not None
    assert (after[0]["run_id"], after[1]) == (again.run_id, before[1])
    assert len(list(tables[0].glob("_delta_log.damaged-*"))) == 1
    assert answers.run(spark, settings).nothing_new

    log = max((root / silver("pin") / "_delta_log").glob("*.json"))
    log.write_bytes(log.read_bytes()[:100])
    with pytest.raises(DamagedLakeError, match=r"the table silver/pin is damaged \(.*move the folder silver/pin"):
        run_task(spark, settings, "answers", {})
    (root / silver("pin")).rename(root.parent / "aside")
    assert json.loads(run_task(spark, settings, "clean", {}))["kinds"]["pin"]["records"] == 4
    run_task(spark, settings, "answers", {})
    healed = answers.stored(spark, settings)
    assert healed is not None
    assert healed[1] == before[1]


@pytest.mark.parametrize("use_delta_rs", [True, False])
def test_a_quarantine_of_an_earlier_version_gets_its_columns_and_no_line_twice(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings, use_delta_rs: bool
) -> None:
    lake = Lake(spark, settings.lake_uri, use_delta_rs=use_delta_rs)
    topic = raw.names.topic("pin")
    key = f"topics/{topic}/partition=1/{topic}+1+{0:020d}.jsonl"
    before = SCHEMAS[QUARANTINE].split(", line bigint")[0]
    lake.create(QUARANTINE, before)
    kept = spark.sql("select 'object' as source, 'not_json' as reason, 'cnViYmlzaA==' as raw_base64")
    lake.append(QUARANTINE, kept.withColumn("object_key", fn.lit(key)))
    lake.create_all()
    lake.create_all()
    assert lake.version(QUARANTINE) == 2
    assert [row["line"] for row in lake.read(QUARANTINE).collect()] == [None]
    raw.put_bytes(key, b"rubbish\nrubbish of another kind")
    ingest.run(spark, settings)
    assert sorted(str(row["line"]) for row in lake.read(QUARANTINE).collect()) == ["2", "None"]


@pytest.mark.parametrize(
    ("stage", "few"), [(EVENTS, True), (EVENTS, False), (QUARANTINE, True), (silver("geo"), True), (RUNS, True)]
)
def test_a_crash_between_two_commits_changes_nothing(
    spark: SparkSession,
    raw: RawObjects,
    settings: AnalyserSettings,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    few: bool,
) -> None:
    if not few:
        nothing_is_few(monkeypatch)
    jobs = (ingest, clean, answers) if stage == RUNS else (ingest, clean)
    raw.put_posts(range(4))
    raw.put("pin", [post(0)["user"], post(1, title="second")["pin"]], 4)
    topic = raw.names.topic("pin")
    raw.put_bytes(f"topics/{topic}/partition=1/{topic}+1+{0:020d}.jsonl", b"rubbish")

    def crash(at: str) -> None:
        if at == stage:
            raise CrashError(at)

    with pytest.raises(CrashError):  # noqa: PT012  # which of them it is depends on the stage
        for job in jobs:
            job.run(spark, settings, at=crash)
    if stage == RUNS:
        assert answers.stored(spark, settings) is None
    for job in jobs:
        job.run(spark, settings)
    assert fates(spark, settings) == {
        "in_objects": 14,
        "in_bronze": 14,
        "current": 12,
        "superseded": 1,
        "repeated": 0,
        "quarantined": 1,
        "dead_lettered": 0,
        "in_flight": 0,
    }
    lake = Lake(spark, settings.lake_uri)
    assert lake.read(QUARANTINE).count() == 2
    assert lake.read(RUNS).count() == (1 if stage == RUNS else 0)


def test_a_b_a_in_every_order_of_arrival(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings, tmp_path: Path
) -> None:
    """Post n gets A, B, A at second 0, 1, 2, one in each partition; they arrive in the n-th order."""
    orders = list(permutations(range(3)))
    contents_of = ("A", "B", "A")
    for arrival in range(3):
        for partition in range(3):
            inds = [ind for ind, order in enumerate(orders) if order[arrival] == partition]
            values = [post(ind, title=contents_of[partition])["pin"] for ind in inds]
            raw.put("pin", values, arrival * 10, partition=partition, seconds=1000 * partition)
        ingest.run(spark, settings)
        clean.run(spark, settings)
    lake = Lake(spark, settings.lake_uri)
    rows = {row["ind"]: row for row in lake.read(silver("pin")).collect()}
    assert {ind: row["title"] for ind, row in rows.items()} == dict.fromkeys(range(6), "B")
    assert all([other["title"] for other in row["superseded"]] == ["A"] for row in rows.values())
    assert all(other["partition"] == 0 for row in rows.values() for other in row["superseded"])
    scratch = settings.model_copy(update={"lake_uri": (tmp_path / "scratch").as_uri()})
    ingest.run(spark, scratch)
    clean.run(spark, scratch)
    assert contents(Lake(spark, scratch.lake_uri)) == contents(lake)
    assert fates(spark, settings, recount=True)["repeated"] == 6


def test_a_backlog_is_taken_in_bounded_commits(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings
) -> None:
    for number in range(5):
        raw.put("geo", [post(number)["geo"]], number)
    report = ingest.run(spark, settings.model_copy(update={"commit_objects": 2}))
    assert (report.commits, report.records) == (3, 5)
    done = clean.run(spark, settings.model_copy(update={"compact_files": 2}))
    assert EVENTS in done.compacted
    assert clean.run(spark, settings).kinds == {}
    assert fates(spark, settings)["current"] == 5


def test_replay_moves_what_passes_now(spark: SparkSession, raw: RawObjects, settings: AnalyserSettings) -> None:
    raw.put("user", [post(1)["user"], {"ind": "x", "first_name": "A"}])
    ingest.run(spark, settings)
    clean.run(spark, settings)
    lake = Lake(spark, settings.lake_uri)
    # As an older cleaner left it: a good record in quarantine instead of silver.
    good = lake.read(EVENTS).where("offset = 0")
    lake.delta(silver("user")).delete("ind = 1")
    wrong = lake.read(QUARANTINE).drop("value", "offset").crossJoin(good.select("value", "offset"))
    lake.append(QUARANTINE, wrong.select(*lake.read(QUARANTINE).columns))
    assert not audit.run(spark, settings).ok
    done = clean.run(spark, settings, replay=True).kinds["user"]
    assert (done.records, done.inserted) == (1, 1)
    assert fates(spark, settings, recount=True)["quarantined"] == 1
    assert clean.run(spark, settings, replay=True).kinds == {}


@pytest.mark.parametrize("stage", [silver("user"), QUARANTINE])
def test_a_replay_that_was_cut_off_is_finished_by_the_next_cleaning(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    lake = Lake(spark, settings.lake_uri)
    raw.put("user", [post(0)["user"]])
    ingest.run(spark, settings)
    clean.run(spark, settings)
    raw.put("user", [post(1)["user"], post(2)["user"] | {"age": "many"}], 1)
    ingest.run(spark, settings)
    with monkeypatch.context() as older:
        older.setattr(clean, "clean", lambda rows, kind: cleaned(rows, kind).withColumn("reason", fn.lit("bad_date")))
        clean.run(spark, settings)
    assert lake.read(QUARANTINE).count() == 2

    def crash(at: str) -> None:
        if at == stage:
            raise CrashError(at)

    with pytest.raises(CrashError):
        clean.run(spark, settings, replay=True, at=crash)
    report = upkeep.run(spark, settings.model_copy(update={"compact_files": 1}))
    assert silver("user") in report.compacted
    assert lake.cleaned("user") == Cleaned(2, replaying=True)
    raw.put("user", [post(3)["user"]], 3)
    ingest.run(spark, settings)
    clean.run(spark, settings)
    counted = fates(spark, settings, recount=True)
    assert (counted["current"], counted["repeated"], counted["quarantined"]) == (3, 0, 1)
    assert lake.cleaned("user") == Cleaned(3)
    before = versions(lake)
    assert clean.run(spark, settings).kinds == {}
    assert versions(lake) == before, "it is finished once"


def test_a_user_of_the_year_1_can_be_read_without_spark(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings
) -> None:
    for version, name in enumerate(("A", "B")):
        raw.put("user", [post(1)["user"] | {"first_name": name, "date_joined": "0001-01-01 00:00:00"}], version)
        ingest.run(spark, settings)
        clean.run(spark, settings)
    folder = local_folder(settings.lake_uri) or Path()
    forms = {str(pq.read_metadata(file).schema) for file in folder.glob("silver/user/*.parquet")}
    assert forms
    assert not any("int96" in form for form in forms), "nanoseconds, which begin in 1677"
    lake = local_lake.Lake(folder)
    found = judged(raw.names, lake, Stages([], [], set(), Acknowledged.empty_table(), []))
    assert [(row.current, row.superseded, row.in_log) for row in found] == [(1, 1, 2)]
    with lake.connect(["silver/user"]) as connection:
        rows = connection.execute("select year(date_joined), year(superseded[1].date_joined) from silver_user")
        assert rows.fetchall() == [(1, 1)]


def test_an_erased_person_is_not_missing(spark: SparkSession, raw: RawObjects, settings: AnalyserSettings) -> None:
    """The steps of docs/aws/retention.md."""
    key = raw.put("pin", [post(ind)["pin"] for ind in range(3)])
    raw.put("pin", [post(3)["pin"]], 3)
    raw.put("pin", [post(4)["pin"]], 4)
    for job in (ingest, clean):
        job.run(spark, settings)
    lines = gzip.decompress(raw.body(key)).splitlines(keepends=True)
    metadata = raw.client.head_object(Bucket=raw.names.bucket, Key=key)["Metadata"]
    raw.put_bytes(key, gzip.compress(lines[0] + lines[2]), **metadata)
    lake = Lake(spark, settings.lake_uri)
    lake.delta(EVENTS).delete("offset = 1")
    lake.delta(silver("pin")).delete("ind = 1")
    assert not audit.run(spark, settings, recount=False).ok
    assert ingest.run(spark, settings, all_keys=True).objects == 1
    clean.run(spark, settings)
    counted = fates(spark, settings, recount=True)
    assert (counted["in_objects"], counted["in_bronze"], counted["current"]) == (4, 4, 4)


def test_the_whole_run_with_the_lake_in_s3(spark: SparkSession, raw: RawObjects, settings: AnalyserSettings) -> None:
    raw.put_posts(range(8))
    raw.client.create_bucket(Bucket=f"{raw.names.pipeline_id}-lake")
    remote = settings.model_copy(update={"lake_uri": f"s3a://{raw.names.pipeline_id}-lake/lake"})
    for job in (ingest, clean, answers):
        job.run(spark, remote)
    found = answers.stored(spark, remote)
    assert found is not None
    assert found[1]["users_joined_by_year"] == [{"post_year": 2016, "number_users_joined": 8}]
    assert fates(spark, remote)["current"] == 24
    assert answers.run(spark, remote).nothing_new
    assert Lake(spark, remote.lake_uri).read(OBJECTS).count() == 3


@pytest.fixture
def any_age(spark: SparkSession) -> Iterator[None]:
    """Let files be deleted that were needed a moment ago."""
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    yield
    spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")


@pytest.mark.usefixtures("any_age")
def test_upkeep_changes_no_row_and_keeps_what_readers_are_told_of(
    spark: SparkSession, raw: RawObjects, settings: AnalyserSettings, tmp_path: Path
) -> None:
    lake = Lake(spark, settings.lake_uri)
    for number in range(2):
        raw.put_posts([number], number)
        ingest.run(spark, settings)
        clean.run(spark, settings)
    answers.run(spark, settings)
    before, told = contents(lake), answers.stored(spark, settings)
    assert told is not None

    lake.overwrite(gold("users_joined_by_year"), lake.read(gold("users_joined_by_year")).limit(0))
    often = settings.model_copy(update={"compact_files": 1})
    report = upkeep.run(spark, often)
    assert silver("geo") in report.compacted
    assert report.vacuumed == [], "all files are young"
    files = len(list(tmp_path.rglob("*.parquet")))
    report = upkeep.run(spark, settings, kept=timedelta(0))
    assert report.kept == [gold("users_joined_by_year")], "the answer of an analysis that was cut off"
    assert set(report.vacuumed) >= {silver("geo"), EVENTS, gold("top_poster_by_country")}
    assert len(list(tmp_path.rglob("*.parquet"))) < files
    assert contents(lake) == before
    assert answers.stored(spark, settings) == told
    assert fates(spark, settings)["current"] == 6

    versions_before = versions(lake)
    assert upkeep.run(spark, settings, kept=timedelta(0)).vacuumed == [], "a day has not passed"
    assert answers.run(spark, settings).nothing_new, "compaction changed no row"
    assert versions(lake) == versions_before

    assert_spark_reads_the_logs_alike(lake, EVENTS, silver("geo"), gold("users_joined_by_year"))


def test_a_cancelled_run_ends_its_spark_job(spark: SparkSession, tmp_path: Path) -> None:
    begun = threading.Event()

    def sleepy(batches: Any) -> Any:  # in here it is sent to Spark's worker as it is; that one cannot import this file
        time.sleep(60)
        yield from batches

    def slow(parameters: Mapping[str, str]) -> str:
        begun.set()
        spark.range(2).mapInPandas(sleepy, "id bigint").collect()
        return "{}"

    store = RunStore(tmp_path / "runs.sqlite", SystemClock())
    worker = Worker(store, {"slow": slow}, 2, spark.sparkContext.cancelAllJobs)
    worker.start(first=lambda: None)
    run_id = worker.submit("x-batch", {"slow": {}}, {}, None).run_id
    assert begun.wait(30)
    tracker = spark.sparkContext.statusTracker()
    wait_until("Spark has the job", lambda: bool(tracker.getActiveJobsIds()))
    started = time.monotonic()
    worker.cancel(run_id)
    while not (run := store.get(run_id)) or not run.over:
        assert time.monotonic() - started < 10
        time.sleep(0.05)
    assert (run.life_cycle, run.result) == ("TERMINATED", "CANCELED")
    assert not tracker.getActiveJobsIds()
    assert worker.stop(10)
    store.close()
