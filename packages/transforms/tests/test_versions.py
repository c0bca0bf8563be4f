"""The winner rule against a few lines of Python, over many keys at once, in every order and portion."""

import itertools
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline_transforms.versions import current_rows, fates
from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark
START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = "ind int, note string, log_id string, partition int, offset long, recorded_at timestamp, content_hash string"
Record = dict[str, Any]


def record(ind: int, content: str, second: int, partition: int = 0, offset: int = 0, log_id: str = "log") -> Record:
    return {
        "ind": ind,
        "note": f"note {content}",
        "log_id": log_id,
        "partition": partition,
        "offset": offset,
        "recorded_at": START + timedelta(seconds=second),
        "content_hash": content,
    }


def place(row: Record) -> tuple[Any, ...]:
    return (row["recorded_at"], row["partition"], row["offset"], row["log_id"])


def model(records: list[Record]) -> dict[int, tuple[Any, list[Any]]]:
    """Per key: the winner's content and place, and those of the superseded, in order."""
    firsts: dict[int, dict[str, Record]] = defaultdict(dict)
    for row in sorted(records, key=place):
        firsts[row["ind"]].setdefault(row["content_hash"], row)
    result = {}
    for ind, contents in firsts.items():
        *superseded, current = [(row["content_hash"], place(row)) for row in contents.values()]
        result[ind] = (current, superseded)
    return result


def found(rows: DataFrame) -> dict[int, tuple[Any, list[Any]]]:
    def of(row: Any) -> tuple[Any, ...]:
        values = row.asDict()
        assert values["note"] == f"note {values['content_hash']}"
        return (values["content_hash"], place(values | {"recorded_at": values["recorded_at"].replace(tzinfo=UTC)}))

    collected = rows.collect()
    assert len({row["ind"] for row in collected}) == len(collected)
    return {row["ind"]: (of(row), [of(other) for other in row["superseded"]]) for row in collected}


def frame(spark: SparkSession, records: list[Record], schema: str = SCHEMA) -> DataFrame:
    return spark.createDataFrame([tuple(row.values()) for row in records], schema)


def histories() -> list[Record]:
    """Every sequence of up to four contents out of three, one key each, and random longer ones with ties."""
    chance = random.Random(11)
    sequences = [list(s) for n in range(1, 5) for s in itertools.product("ABC", repeat=n)]
    records = [
        record(ind, content, second=position, offset=position)
        for ind, sequence in enumerate(sequences)
        for position, content in enumerate(sequence)
    ]
    for ind in range(1000, 1040):
        places = {
            (chance.randrange(3), chance.randrange(2), chance.randrange(9), chance.choice("xy")) for _ in range(8)
        }
        records += [record(ind, chance.choice("ABCD"), *place) for place in places]
    return records


@pytest.mark.parametrize("seed", [1, 2])
def test_every_order_and_portion_gives_the_same_rows(spark: SparkSession, seed: int) -> None:
    chance = random.Random(seed)
    records = histories()
    chance.shuffle(records)
    cuts = sorted(chance.sample(range(len(records)), 2))
    portions = [records[first:last] for first, last in itertools.pairwise([0, *cuts, len(records)])]
    silver = current_rows(frame(spark, portions[0]))
    for portion in portions[1:]:
        rows = spark.createDataFrame(silver.collect(), silver.schema)
        silver = current_rows(rows.unionByName(frame(spark, portion), allowMissingColumns=True))
    assert found(silver) == model(records)


def test_a_b_a_gives_b(spark: SparkSession) -> None:
    rows = [record(1, "A", 0), record(1, "B", 1), record(1, "A", 2)]
    (row,) = current_rows(frame(spark, rows)).collect()
    assert row["content_hash"] == "B"
    assert [other["content_hash"] for other in row["superseded"]] == ["A"]


def test_again_changes_nothing(spark: SparkSession) -> None:
    records = histories()
    once = current_rows(frame(spark, records))
    assert found(current_rows(once.unionByName(frame(spark, records), allowMissingColumns=True))) == model(records)
    assert once.columns == [name.split()[0] for name in SCHEMA.split(", ")] + ["superseded"]


def test_fates_add_up(spark: SparkSession) -> None:
    records = histories()
    rows = fates(frame(spark, records)).collect()
    assert len(rows) == len(records)
    winners = model(records)
    by_key: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        by_key[row["ind"]][row["fate"]] += 1
        if row["fate"] == "current":
            assert row["content_hash"] == winners[row["ind"]][0][0]
    counts = Counter(row["ind"] for row in records)
    for ind, (_, superseded) in winners.items():
        expected = {"current": 1, "superseded": len(superseded), "repeated": counts[ind] - len(superseded) - 1}
        assert by_key[ind] == Counter(expected)


def test_sequence_numbers_are_compared_as_numbers(spark: SparkSession) -> None:
    schema = SCHEMA.replace("partition int", "partition string").replace("offset long", "offset string")
    shard = "shardId-000000000000"
    rows = [record(1, "old", 0) | {"partition": shard, "offset": "9" * 55}]
    rows += [record(1, "new", 0) | {"partition": shard, "offset": "1" + "0" * 55}]
    (row,) = current_rows(frame(spark, rows, schema)).collect()
    assert row["content_hash"] == "new"
    assert {r["content_hash"]: r["fate"] for r in fates(frame(spark, rows, schema)).collect()} == {
        "new": "current",
        "old": "superseded",
    }
