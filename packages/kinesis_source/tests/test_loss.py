"""Time loses no record in silence: retention, resharding, pauses, expired ranges."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kinesis_source.errors import DataLossError
from kinesis_source.fake_shards import error
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock

Make = Callable[..., Any]
HOUR_S = 3600
HALF = str(1 << 126)
FIRST = "shardId-000000000000"


@pytest.fixture
def kinesis(clock: ManualClock) -> FakeKinesis:
    """A stream of one shard, which is older than its retention."""
    fake = FakeKinesis(clock)
    fake.create_stream(StreamName="s")
    clock.sleep(30 * HOUR_S)
    return fake


def split(kinesis: FakeKinesis, shard_id: str = FIRST, at: str = HALF) -> None:
    kinesis.split_shard(StreamName="s", ShardToSplit=shard_id, NewStartingHashKey=at)


def retain(kinesis: FakeKinesis, hours: int, *, rises: bool) -> None:
    change = kinesis.increase_stream_retention_period if rises else kinesis.decrease_stream_retention_period
    change(StreamName="s", RetentionPeriodHours=hours)


def lost_after(reading: Any, what: str = "expired unread") -> None:
    """The query says so and, told to go on without, reads the rest."""
    reading.restart()
    with pytest.raises(DataLossError, match=what):
        reading.drain()
    reading.restart(failOnDataLoss="false")
    reading.drain()


def test_a_busy_shard_that_is_split_loses_nothing(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    """It has records in every poll for longer than retention: nobody ever sees its end."""
    reading = query(shardFetchInterval="0s")
    reading.drain()
    expected = []
    for _ in range(25 * 13):
        clock.sleep(280)
        expected += put(1)
        reading.fetch()
        reading.tick()
    split(kinesis)
    expected += put(8)
    reading.drain()
    reading.restart()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_children_that_never_held_a_record_are_in_the_offset_that_closes_their_parent(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    expected = put(3)
    reading = query(shardFetchInterval="1h")
    reading.drain()
    split(kinesis)
    clock.sleep(1)
    for _ in range(3):
        reading.fetch()
        reading.tick()
    shards = json.loads(reading.log[-1])["shards"]
    assert shards[FIRST]["closed"]
    assert len(shards) == 3
    put(5)
    clock.sleep(24.1 * HOUR_S)
    expected += put(2)
    lost_after(reading)
    assert sorted(reading.data) == sorted(expected)


def test_a_grandchild_of_a_shard_that_nobody_saw(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    expected = put(3)
    reading = query()
    reading.drain()
    split(kinesis)
    put(5)
    split(kinesis, "shardId-000000000001", str(1 << 125))
    split(kinesis, "shardId-000000000002", str(1 << 127))
    clock.sleep(25 * HOUR_S)
    expected += put(5)
    assert not {"shardId-000000000001", "shardId-000000000002"} & kinesis._streams["s"].shards.keys()
    lost_after(reading, "shardId-000000000000: it has expired")
    assert sorted(reading.data) == sorted(expected)


def test_retention_that_was_raised_brings_nothing_back(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    expected = put(5)
    reading = query()
    reading.drain()
    clock.sleep(2 * HOUR_S)
    reading.drain()
    put(5)
    clock.sleep(26 * HOUR_S)
    retain(kinesis, 168, rises=True)
    expected += put(2)
    lost_after(reading)
    assert sorted(reading.data) == sorted(expected)
    expected += put(2)
    clock.sleep(26 * HOUR_S)
    reading.restart(failOnDataLoss="true")
    reading.drain()
    assert sorted(reading.data) == sorted(expected), "from now on the longer one counts"


def test_retention_that_was_lowered_under_a_running_query(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    retain(kinesis, 168, rises=True)
    reading = query(maxRecordsPerFetch="2", fetchBufferSize="1")
    reading.drain()
    put(8)
    clock.sleep(30 * HOUR_S)
    reading.fetch()
    reading.tick()
    retain(kinesis, 24, rises=False)
    put(2)
    with pytest.raises(DataLossError, match="expired unread"):
        reading.drain()


def test_retention_that_was_lowered_and_raised_while_the_query_was_away(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    """The last record that was read is gone, which by the retention of before and now it could not be."""
    retain(kinesis, 168, rises=True)
    put(3)
    reading = query()
    reading.drain()
    clock.sleep(8 * HOUR_S)
    reading.drain()
    put(5)
    clock.sleep(30 * HOUR_S)
    retain(kinesis, 24, rises=False)
    retain(kinesis, 168, rises=True)
    put(1)
    lost_after(reading)


def test_a_shard_that_is_gone_sooner_than_any_retention_known_was_not_read_to_its_end(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    """It is gone with the last record that was read, which by the retention of before and now it could not be."""
    retain(kinesis, 168, rises=True)
    put(3)
    reading = query()
    reading.drain()
    put(5)
    split(kinesis)
    clock.sleep(1)
    retain(kinesis, 24, rises=False)
    clock.sleep(30 * HOUR_S)
    retain(kinesis, 48, rises=True)
    clock.sleep(2)
    expected = put(1)
    lost_after(reading, "expired with all records after")
    assert reading.data[3:] == expected


@pytest.mark.parametrize("position", ["trim_horizon", "latest"])
def test_what_expires_behind_a_young_checkpoint_of_an_empty_shard(
    query: Make, put: Make, clock: ManualClock, position: str
) -> None:
    reading = query(initialPosition=position)
    reading.tick()
    clock.sleep(1)
    put(5)
    clock.sleep(25 * HOUR_S)
    expected = put(2)
    lost_after(reading)
    assert sorted(reading.data) == sorted(expected)


def test_a_backlog_of_which_nothing_was_planned_yet_expires(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    """Its oldest record is known, so that it is known, too, when it is gone."""
    split(kinesis)
    put(40)
    clock.sleep(20 * HOUR_S)
    reading = query(maxRecordsPerTrigger="1")
    for _ in range(8):
        reading.fetch()
        reading.tick()
    unread = [entry for entry in json.loads(reading.log[-1])["shards"].values() if "last" not in entry]
    assert len([entry for entry in unread if not entry.get("closed")]) == 1
    clock.sleep(5 * HOUR_S)
    lost_after(reading)


def test_a_planned_batch_of_a_shard_that_has_expired(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    put(5)
    reading = query()
    reading.tick()
    reading.fetch()
    assert reading.plan()
    split(kinesis)
    clock.sleep(25 * HOUR_S)
    expected = put(5)
    reading.restart(retryDeadline="2s")
    with pytest.raises(DataLossError, match=f"{FIRST}: the shard has expired with its records from"):
        reading.read()
    reading.restart(failOnDataLoss="false")
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_a_planned_batch_whose_position_kinesis_refuses(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    put(5)
    reading = query()
    reading.tick()
    reading.fetch()
    assert reading.plan()
    clock.sleep(25 * HOUR_S)
    kinesis._refuse_trimmed = True
    reading.restart(failOnDataLoss="false")
    reading.drain()
    assert reading.data == []


def test_children_of_a_shard_that_waits_for_a_time_wait_for_it(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    reading = query(initialPosition=json.dumps({"at_timestamp": clock.now().timestamp() + 60}))
    reading.tick()
    put(3)
    split(kinesis)
    put(5)
    reading.drain()
    clock.sleep(120)
    expected = put(4)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_a_listing_that_takes_too_long_is_begun_anew(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    split(kinesis)
    expected = put(5)
    reading = query(maxShardsPerDescribe="1")
    reading.drain()
    for _ in range(3):
        kinesis.fail("list_shards", error("ListShards", "ExpiredNextTokenException"))
        expected += put(2)
        reading.drain()
    assert sorted(reading.data) == sorted(expected)


@pytest.mark.parametrize("shown", ["empty answers", "no answers", "throttled"])
def test_lag_is_reported_while_nothing_comes(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock, shown: str
) -> None:
    reading = query()
    reading.drain()
    put(3)
    clock.sleep(4 * HOUR_S)
    if shown == "empty answers":
        kinesis.empty_answers = 1000
    else:
        code = "InternalFailure" if shown == "no answers" else "ProvisionedThroughputExceededException"
        kinesis.fail("get_records", error("GetRecords", code, status=500), 1000)
    reading.fetch(1)
    reading.tick()
    report = reading.reader.reportLatestOffset()
    assert 4 * HOUR_S <= report["behind_ms"] / 1000 < 4 * HOUR_S + 60
    assert abs(report["at_ms"] - clock.now().timestamp() * 1000) < 1000


def test_an_offset_of_an_earlier_version_goes_on(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    expected = put(5)
    reading = query()
    reading.drain()
    old = json.loads(reading.log[-1])
    for name in ("listed_ms", "retention_ms"):
        del old[name]
    for entry in old["shards"].values():
        del entry["last_ms"]
    reading.log[-1] = json.dumps(old)
    split(kinesis)
    expected += put(8)
    reading.restart()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)
