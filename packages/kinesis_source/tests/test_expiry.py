"""Records and shards that expire: unread ones are named, or passed over with a warning; read ones are no loss."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kinesis_source.errors import (
    DataLossError,
)
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock

Make = Callable[..., Any]
HALF = str(1 << 126)
HALVES = (HALF, str(3 << 126))


def test_records_that_expired_unread_are_named(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    put(5, key="a")
    reading = query()
    reading.drain()
    put(10, key="a")
    clock.sleep(3600 * 25)
    put(2, key="a")
    reading.restart()
    reading.plan()
    with pytest.raises(DataLossError, match=r"shard shardId-00000000000\d: records after \d+ and before \d+"):
        reading.fetch()


def test_records_that_expired_unread_may_be_passed_over(query: Make, put: Make, clock: ManualClock) -> None:
    expected = put(5, key="a")
    reading = query(failOnDataLoss="false")
    reading.drain()
    put(10, key="a")
    clock.sleep(3600 * 25)
    expected += put(2, key="a")
    reading.restart()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_a_running_query_that_falls_behind_retention_notices(query: Make, put: Make, clock: ManualClock) -> None:
    put(5, key="a")
    reading = query()
    reading.drain()
    put(10, key="a")
    clock.sleep(3600 * 25)
    put(2, key="a")
    with pytest.raises(DataLossError):
        reading.drain()


def test_a_backlog_that_expires_while_it_is_read(query: Make, put: Make, clock: ManualClock) -> None:
    """The iterator is still good, so Kinesis goes on at its oldest record without a word."""
    put(20, key="a")
    clock.sleep(3600 * 24 - 100)
    reading = query(maxRecordsPerFetch="5")
    reading.tick()
    reading.fetch()
    clock.sleep(200)
    put(2, key="a")
    with pytest.raises(DataLossError, match="may have expired unread"):
        reading.drain()


def test_a_shard_whose_records_all_expired_unread(query: Make, put: Make, clock: ManualClock) -> None:
    put(5, key="a")
    reading = query()
    reading.drain()
    put(10, key="a")
    clock.sleep(3600 * 25)
    reading.restart()
    reading.plan()
    with pytest.raises(DataLossError, match="and before now may have expired unread"):
        reading.fetch()


def split_all(reading: Any, put: Make, kinesis: FakeKinesis) -> None:
    """Read the shards to their ends; their children hold nothing yet."""
    put(4)
    reading.drain()
    for number in (0, 1):
        kinesis.split_shard(StreamName="s", ShardToSplit=f"shardId-{number:012}", NewStartingHashKey=HALVES[number])
    reading.clock.sleep(60)
    reading.drain()
    shards = json.loads(reading.log[-1])["shards"].values()
    assert len([entry for entry in shards if entry.get("pos") == "TRIM" and not entry.get("closed")]) == 4


def test_records_that_expired_in_a_shard_that_had_none_are_named(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    reading = query()
    split_all(reading, put, kinesis)
    put(3)
    clock.sleep(3600 * 25)
    put(1)
    reading.restart()
    reading.plan()
    with pytest.raises(DataLossError, match="records after its beginning and before now may have expired unread"):
        reading.fetch()


def test_records_that_expired_in_a_shard_that_had_none_may_be_passed_over(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    reading = query(failOnDataLoss="false")
    split_all(reading, put, kinesis)
    put(3)
    clock.sleep(3600 * 25)
    expected = put(9)
    reading.restart()
    reading.drain()
    assert set(expected) <= set(reading.data)
    said = [vars(record)["shard"] for record in caplog.records if "expired unread" in record.getMessage()]
    assert len(set(said)) == len(said) == 4, "once for each shard"


def test_an_idle_shard_is_no_loss(query: Make, put: Make, clock: ManualClock) -> None:
    """Its last record has expired, but the shard was seen empty since."""
    expected = put(5, key="a")
    reading = query()
    reading.drain()
    for _ in range(30):
        clock.sleep(3600)
        expected += put(1, key="other-1")
        reading.drain()
    reading.restart()
    expected += put(2, key="a")
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


@pytest.mark.parametrize("pause_s", [0, 3600], ids=["at once", "after an hour"])
def test_a_query_that_has_been_idle_for_longer_than_retention_starts_again(
    query: Make, put: Make, clock: ManualClock, pause_s: float
) -> None:
    """Its last records have expired, and none came since: the checkpoint must know that, too."""
    reading = query()
    reading.drain()
    clock.sleep(pause_s)
    expected = put(5)
    reading.drain()
    for _ in range(26):
        clock.sleep(3600)
        reading.drain()
    assert len(reading.batches) < 60, "one or two an hour have no rows"
    reading.restart()
    expected += put(5)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_what_expires_while_an_idle_query_is_away_is_still_named(query: Make, put: Make, clock: ManualClock) -> None:
    put(5, key="a")
    reading = query()
    for _ in range(3):
        reading.drain()
        clock.sleep(3600)
    put(5, key="a")
    clock.sleep(3600 * 25)
    reading.restart()
    reading.plan()
    with pytest.raises(DataLossError):
        reading.fetch()


def test_a_batch_whose_records_expired_before_its_replay(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    put(20, key="a")
    reading = query()
    reading.tick()
    reading.fetch()
    reading.plan()
    (shard_id,) = [name for name, entry in json.loads(reading.log[-1])["shards"].items() if "first" in entry]
    kinesis.expire_records("s", shard_id, 3)
    reading.restart()
    with pytest.raises(DataLossError, match=f"{shard_id}: records from"):
        reading.read()
    kinesis.expire_records("s", shard_id, 17)
    with pytest.raises(DataLossError, match=f"{shard_id}: records from"):
        reading.read()


def test_records_that_expire_in_the_middle_of_a_replay_are_missed(
    query: Make, put: Make, kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kinesis goes on at its oldest record without a word."""
    put(20, key="a")
    reading = query(maxRecordsPerFetch="5")
    reading.tick()
    for _ in range(4):
        reading.fetch()
    reading.plan()
    [(shard_id, entry)] = [
        (name, entry) for name, entry in json.loads(reading.log[-1])["shards"].items() if "first" in entry
    ]
    assert entry["rows"] == 20
    reading.restart()
    answer = kinesis.get_records

    def one_page(**request: Any) -> Any:
        monkeypatch.undo()
        page = answer(**request)
        kinesis.expire_records("s", shard_id, 8)
        return page

    monkeypatch.setattr(kinesis, "get_records", one_page)
    with pytest.raises(DataLossError, match=f"{shard_id}: 3 of 20 records from"):
        reading.read()


def test_a_shard_that_expired_unread_is_named(query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock) -> None:
    put(10)
    reading = query()
    reading.tick()
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    clock.sleep(3600 * 25)
    kinesis.expire_shard("s", "shardId-000000000000")
    reading.restart()
    with pytest.raises(DataLossError, match="shardId-000000000000: it has expired"):
        reading.plan()
