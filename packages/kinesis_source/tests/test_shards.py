"""Shards that are split, merged, closed, and forgotten."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock

Make = Callable[..., Any]
HALF = str(1 << 126)


def shard(query: Any, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(query.log[-1])["shards"].get(f"shardId-{number:012}")
    return found


def test_split_and_merge_children_come_in_later_batches(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    expected = put(10)
    reading = query()
    reading.drain()
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    expected += put(10)
    kinesis.merge_shards(
        StreamName="s", ShardToMerge="shardId-000000000003", AdjacentShardToMerge="shardId-000000000001"
    )
    expected += put(10)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)
    assert shard(reading, 0)["closed"]
    assert shard(reading, 1)["closed"]
    assert shard(reading, 3)["closed"]
    assert not shard(reading, 4).get("closed")


def test_a_shard_that_is_gone_is_forgotten_and_not_taken_for_new_when_it_is_listed_again(
    query: Make, put: Make, kinesis: FakeKinesis
) -> None:
    expected = put(10)
    reading = query()
    reading.drain()
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    expected += put(10)
    reading.drain()
    gone = kinesis._streams["s"].shards.pop("shardId-000000000000")
    expected += put(3)
    reading.clock.sleep(2)
    reading.drain()
    assert shard(reading, 0) is None
    kinesis._streams["s"].shards["shardId-000000000000"] = gone
    reading.restart()
    expected += put(3)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_available_now_reads_children_too(query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock) -> None:
    expected = put(10)
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    expected += put(10)
    reading = query()
    reading.reader.prepareForTriggerAvailableNow()
    reading.driver.prefetcher.wait = lambda *_: reading.fetch()
    clock.sleep(1)
    while reading.tick():
        pass
    assert sorted(reading.data) == sorted(expected)


def test_a_shard_is_not_closed_while_its_last_records_are_not_stored(
    query: Make, put: Make, kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(9)
    reading = query()
    reading.tick()
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    answer = kinesis.get_records

    def at_once(**request: Any) -> Any:
        """As real ones do: the last records of a closed shard without an iterator."""
        page = answer(**request)
        if json.loads(request["ShardIterator"])[2] == "shardId-000000000000":
            del page["NextShardIterator"]
        return page

    def no_memory(*_: Any) -> str:
        raise MemoryError

    monkeypatch.setattr(kinesis, "get_records", at_once)
    monkeypatch.setattr(reading.spool, "write", no_memory)
    with pytest.raises(MemoryError):
        reading.fetch()
    with pytest.raises(MemoryError):
        reading.plan()


def test_a_shard_of_which_only_a_last_record_is_known_is_read_to_its_end(
    query: Make, put: Make, kinesis: FakeKinesis
) -> None:
    """The checkpoint was written before anybody saw that nothing follows."""
    expected = put(9)
    reading = query()
    reading.tick()
    reading.fetch(2)
    reading.tick()
    old = json.loads(reading.log[-1])
    for entry in old["shards"].values():
        del entry["tip_ms"]
    reading.log[-1] = json.dumps(old)
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    expected += put(9)
    reading.restart()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)
    assert shard(reading, 0)["closed"]
