"""What the tasks compute with DataFrames alone, on a session without Delta."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from batch_analyser.jobs.audit import in_objects
from batch_analyser.jobs.find_new import tails
from batch_analyser.lake import SCHEMAS, Lake
from batch_analyser.objects.listing import Tail
from pipeline_contracts.lake import OBJECTS
from pyspark.sql import SparkSession
from spark_session import spark_session

START = datetime(2026, 1, 1, tzinfo=UTC)
PREFIX = "topics/t.pin/partition=0/"


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with spark_session() as session:
        yield session


def name(offset: int, width: int = 20, prefix: str = PREFIX) -> str:
    return f"{prefix}t.pin+0+{offset:0{width}d}.jsonl.gz"


def entry(first: int, beyond: int, **more: Any) -> dict[str, Any]:
    return {
        "object_key": name(first),
        "etag": "e",
        "log_id": "L",
        "topic": "t.pin",
        "partition": 0,
        "first_offset": first,
        "next_offset": beyond,
        "records": beyond - first,
        "problem": None,
        "ingested_at": START,
        "ranges": [(first, beyond)],
        **more,
    }


def ledger(spark: SparkSession, *rows: dict[str, Any]) -> Any:
    return spark.createDataFrame([tuple(row.values()) for row in rows], SCHEMAS[OBJECTS])


@pytest.mark.spark
def test_the_tail_of_each_folder(spark: SparkSession) -> None:
    other = "topics/t.geo/partition=1/"
    rows = ledger(
        spark,
        entry(0, 5),
        entry(5, 9, etag="old"),
        entry(5, 12, etag="new", ingested_at=START + timedelta(days=1)),
        entry(0, 4, object_key=name(0, prefix=other)),
    )
    assert tails(rows) == {
        PREFIX: Tail(name(5), "new", name(0), even=True, reach=12),
        other: Tail(name(0, prefix=other), "e", None, even=True, reach=4),
    }


@pytest.mark.spark
@pytest.mark.parametrize(
    "rows",
    [
        [entry(0, 5), entry(7, 9)],  # a hole that may yet be filled behind the last key's back
        [entry(3, 5), entry(5, 9)],  # one at the very start
        [entry(0, 5), entry(5, 9, object_key=name(5, 10))],
    ],
)
def test_folders_that_must_be_listed_whole(spark: SparkSession, rows: list[dict[str, Any]]) -> None:
    (tail,) = tails(ledger(spark, *rows)).values()
    assert tail.start_after is None


@pytest.mark.spark
def test_objects_count_each_coordinate_that_they_hold_now_once(spark: SparkSession) -> None:
    rows = ledger(
        spark,
        entry(0, 10),
        entry(0, 4, etag="erased", ingested_at=START + timedelta(days=1)),
        entry(8, 12),
        entry(12, 20, ranges=[(12, 15), (16, 20)]),
        entry(30, 31, partition=1),
        entry(40, 40, ranges=[]),
    )
    counts = {row["partition"]: row["in_objects"] for row in in_objects(rows).collect()}
    assert counts == {0: 15, 1: 1}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///srv/lake", "file:/srv/lake/runs"),
        ("file:///srv/lake/", "file:/srv/lake/runs"),
        ("file://localhost/srv/lake", "file:/srv/lake/runs"),
        ("file:///srv/my%20l%C3%A4ke%2520", "file:/srv/my läke%20/runs"),
        ("s3://bucket/lake", "s3a://bucket/lake/runs"),
        ("s3a://bucket/lake", "s3a://bucket/lake/runs"),
        ("/srv/lake", "/srv/lake/runs"),
    ],
)
def test_paths_are_spelled_as_delta_spells_them(uri: str, path: str) -> None:
    assert Lake(None, uri).path("runs") == path  # type: ignore[arg-type]  # no session is needed to name a path
