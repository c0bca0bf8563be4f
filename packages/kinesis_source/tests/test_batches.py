"""Batches: what they hold, how large they are, how they are read again, and the tasks that read them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kinesis_source.errors import (
    OffsetError,
    SpoolError,
)
from kinesis_source.fake_shards import error
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock

Make = Callable[..., Any]


def test_reads_everything_from_the_oldest_record_on(query: Make, put: Make) -> None:
    expected = put(20)
    reading = query()
    reading.drain()
    expected += put(5)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_nothing_new_gives_the_start_itself(query: Make, put: Make) -> None:
    put(3)
    reading = query()
    reading.drain()
    start = json.loads(reading.log[-1])
    assert reading.reader.latestOffset(start, reading.reader.getDefaultReadLimit()) is start


def test_a_stream_at_rest_is_read_once_a_second(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    def reads_a_second(seconds: int) -> float:
        before = kinesis.calls["get_records"]
        for _ in range(5 * seconds):
            reading.fetch()
        return (kinesis.calls["get_records"] - before) / seconds / 2  # of two shards

    reading = query()
    reading.plan()
    for _ in range(9):
        put(20)
        assert reads_a_second(1) == 5
    reads_a_second(9)
    assert reads_a_second(5) == 1
    put(20)
    reads_a_second(1)
    assert reads_a_second(1) == 5


def test_batches_are_at_most_as_large_as_asked(query: Make, put: Make) -> None:
    expected = put(25)
    reading = query(maxRecordsPerTrigger="4", maxRecordsPerFetch="7")
    reading.drain()
    assert sorted(reading.data) == sorted(expected)
    assert max(len(batch) for batch in reading.batches) == 4
    assert len([batch for batch in reading.batches if batch]) == 7


def test_the_first_batch_of_a_shard_may_hold_several_chunks(query: Make, put: Make) -> None:
    expected = put(30)
    reading = query(maxRecordsPerFetch="4")
    reading.plan()
    reading.commit(reading.read())
    for _ in range(10):
        reading.fetch()
    assert reading.tick()
    assert sorted(reading.data) == sorted(expected)


def test_a_replay_gives_the_same_rows_without_the_spool(query: Make, put: Make) -> None:
    put(30)
    reading = query(maxRecordsPerFetch="4", maxRecordsPerTrigger="11")
    for _ in range(3):
        reading.tick()
        reading.fetch()
    reading.plan()
    before = reading.read()
    assert before
    put(10)
    reading.restart()
    assert reading.read() == before


def test_a_spool_file_deleted_in_the_middle_of_a_batch_is_read_again(query: Make, put: Make) -> None:
    expected = put(30)
    reading = query(maxRecordsPerFetch="4")
    reading.tick()
    for _ in range(6):
        reading.fetch()
    reading.plan()
    files = sorted(reading.spool.folder.iterdir())
    assert len(files) > 3
    for file in files[::2]:
        file.unlink()
    reading.commit(reading.read())
    assert sorted(reading.data) == sorted(expected)


def test_a_full_spool_stops_nothing(
    query: Make, put: Make, kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then the rows come from Kinesis once more; what waits is bounded as ever."""
    expected = put(30)
    reading = query(maxRecordsPerFetch="4", fetchBufferSize="40")
    room = reading.spool.write

    def full(*_: object) -> str:
        raise SpoolError("no space left")

    monkeypatch.setattr(reading.spool, "write", full)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)
    said = [record.getMessage() for record in caplog.records if "spooled" in record.getMessage()]
    assert said == ["rows cannot be spooled and are read from Kinesis again"]
    monkeypatch.setattr(reading.spool, "write", room)
    expected += put(4)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_files_go_when_their_batch_was_read(query: Make, put: Make) -> None:
    put(30)
    reading = query(maxRecordsPerFetch="4", maxRecordsPerTrigger="6")
    reading.drain()
    reading.plan()
    assert list(reading.spool.folder.iterdir()) == []


def test_a_full_buffer_stops_fetching_until_a_batch_takes_from_it(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    expected = put(100)
    reading = query(maxRecordsPerFetch="5", fetchBufferSize="100")
    reading.tick()
    reading.fetch()
    asked = kinesis.calls["get_records"]
    assert 1 <= asked <= 2
    reading.fetch()
    assert kinesis.calls["get_records"] == asked
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_available_now_reads_what_is_there_and_ends(query: Make, put: Make, clock: ManualClock) -> None:
    expected = put(25)
    reading = query(maxRecordsPerTrigger="10", maxRecordsPerFetch="6")
    reading.reader.prepareForTriggerAvailableNow()
    reading.driver.prefetcher.wait = lambda *_: reading.fetch()
    clock.sleep(1)
    put(5)  # after the query has begun: for the next one
    while reading.tick():
        pass
    assert sorted(reading.data) == sorted(expected)


def test_a_batch_that_was_planned_before_rows_were_counted_is_still_read(query: Make, put: Make) -> None:
    expected = put(20)
    reading = query()
    reading.tick()
    reading.fetch()
    reading.plan()
    old = json.loads(reading.log[-1])
    for entry in old["shards"].values():
        entry.pop("rows", None)
    reading.log[-1] = json.dumps(old)
    reading.restart()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_another_sources_checkpoint(query: Make) -> None:
    with pytest.raises(OffsetError, match="another source"):
        query().driver.latest_offset({"shard": 1}, None)


def test_lag_is_reported(query: Make, put: Make, clock: ManualClock) -> None:
    put(10, key="a")
    reading = query()
    assert reading.reader.reportLatestOffset() is None
    reading.tick()
    reading.fetch()
    clock.sleep(5)
    assert 5000 <= reading.reader.reportLatestOffset()["behind_ms"] < 6000
    reading.drain()
    report = reading.reader.reportLatestOffset()
    assert (report["behind_ms"], report["unanswered"]) == (0, 0)


def test_shards_that_have_not_answered_are_counted(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    put(10)
    reading = query()
    reading.drain()
    reading.restart()
    reading.plan()
    kinesis.fail("get_records", error("GetRecords", "InternalFailure", status=500))
    reading.fetch(2)
    assert reading.reader.reportLatestOffset()["unanswered"] == 1
    reading.drain()
    assert reading.reader.reportLatestOffset()["unanswered"] == 0


def test_tasks(query: Make, put: Make, kinesis: FakeKinesis) -> None:
    kinesis.delete_stream(StreamName="s")
    kinesis.create_stream(StreamName="s", ShardCount=5)
    put(100)

    def tasks(**options: str) -> list[int]:
        reading = query(**options)
        reading.plan()
        reading.commit([])
        reading.fetch()
        reading.plan()
        start, end = map(json.loads, reading.log[-2:])
        assert reading.reader.partitions(end, end) == []
        return [len(part.ranges) for part in reading.reader.partitions(start, end)]

    assert tasks() == [1, 1, 1, 1, 1]
    assert tasks(shardsPerTask="2") == [2, 2, 1]
    assert tasks(maxPartitions="2") == [3, 2]
