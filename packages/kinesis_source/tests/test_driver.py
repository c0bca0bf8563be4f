import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from kinesis_source.errors import (
    AccessError,
    DataLossError,
    OffsetError,
    SpoolError,
    StreamMissingError,
    StreamReplacedError,
    UnavailableError,
)
from kinesis_source.fakes import FakeKinesis, error
from service_kit.clock import ManualClock

Make = Callable[..., Any]
HALF = str(1 << 126)
HALVES = (HALF, str(3 << 126))
AWAY = EndpointConnectionError(endpoint_url="http://nowhere")
THROTTLED = error("GetRecords", "ProvisionedThroughputExceededException")


def shard(query: Any, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(query.log[-1])["shards"].get(f"shardId-{number:012}")
    return found


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


def test_latest_begins_now(query: Make, put: Make, clock: ManualClock) -> None:
    put(3)
    clock.sleep(0.001)
    reading = query(initialPosition="latest")
    assert reading.tick()  # the first batch is empty, and fixes what "now" is
    expected = put(4)  # before anybody has looked
    clock.sleep(1)
    reading.fetch()
    expected += put(4)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_latest_keeps_its_now_over_a_restart_before_the_first_record(query: Make, put: Make) -> None:
    put(3)
    reading = query(initialPosition="latest")
    reading.fetch()
    assert reading.plan()  # and is killed in the first batch
    expected = put(4)  # while the query is away
    reading.restart()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_latest_by_time_where_the_server_never_answers(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    """kinesalite does not answer AT_TIMESTAMP if no record is that late."""
    put(3)
    clock.sleep(1)
    reading = query(initialPosition="latest")
    assert reading.tick()
    reading.clock.sleep(1)
    reading.restart()
    answer = kinesis.get_shard_iterator

    def hang(**request: Any) -> Any:
        if request["ShardIteratorType"] == "AT_TIMESTAMP":
            raise ReadTimeoutError(endpoint_url="http://kinesalite")
        return answer(**request)

    kinesis.get_shard_iterator = hang  # type: ignore[method-assign]
    reading.plan()
    reading.fetch()
    expected = put(4)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_at_timestamp(query: Make, put: Make, clock: ManualClock) -> None:
    put(3)
    clock.sleep(10)
    at_s = clock.now().timestamp()
    expected = put(4)
    reading = query(initialPosition=json.dumps({"at_timestamp": at_s}))
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_a_time_ahead_waits_for_it(query: Make, put: Make, clock: ManualClock) -> None:
    reading = query(initialPosition=json.dumps({"at_timestamp": clock.now().timestamp() + 60}))
    put(3)
    reading.drain()
    clock.sleep(120)
    expected = put(4)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


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
    said = [record.message for record in caplog.records if "spooled" in record.message]
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


@pytest.mark.parametrize(
    ("operation", "failure"),
    [
        ("get_records", THROTTLED),
        ("get_records", AWAY),
        ("get_records", error("GetRecords", "InternalFailure", status=500)),
        ("get_records", error("GetRecords", "ExpiredIteratorException")),
        ("get_records", error("GetRecords", "404", status=404)),
        ("get_shard_iterator", error("GetShardIterator", "LimitExceededException")),
        ("list_shards", AWAY),
        ("describe_stream_summary", AWAY),
    ],
)
def test_what_passes_is_tried_again(
    query: Make, put: Make, kinesis: FakeKinesis, operation: str, failure: Exception
) -> None:
    expected = put(10)
    reading = query()
    kinesis.fail(operation, failure, 5)
    for _ in range(60):
        reading.fetch()
        reading.tick()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_an_iterator_that_expires_while_the_query_stands_still(query: Make, put: Make, clock: ManualClock) -> None:
    expected = put(10)
    reading = query()
    reading.drain()
    clock.sleep(400)
    expected += put(10)
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_two_failures_long_apart_are_not_one_outage(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    """The buffer was full in between, so that nobody asked."""
    expected = put(10)
    reading = query(retryDeadline="30s")
    reading.tick()
    kinesis.fail("get_records", AWAY, 2)
    reading.fetch(1)
    clock.sleep(100)
    reading.fetch()
    reading.drain()
    assert sorted(reading.data) == sorted(expected)


@pytest.mark.parametrize("operation", ["get_records", "list_shards"])
def test_no_answer_for_too_long_fails_with_the_reason(
    query: Make, kinesis: FakeKinesis, put: Make, operation: str
) -> None:
    put(3)
    reading = query(retryDeadline="30s")
    reading.tick()
    kinesis.fail(operation, AWAY, 10_000)

    def go_on() -> None:
        for _ in range(400):
            reading.fetch()
            reading.tick()

    with pytest.raises(UnavailableError, match=r"30 s.*http://nowhere"):
        go_on()


def test_no_permission_fails_at_once(query: Make, kinesis: FakeKinesis, put: Make) -> None:
    put(3)
    reading = query()
    reading.tick()
    kinesis.fail("get_records", error("GetRecords", "AccessDeniedException", "not allowed"))
    with pytest.raises(AccessError, match="not allowed"):
        reading.fetch()


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


def test_a_stream_that_is_not_there(query: Make, kinesis: FakeKinesis) -> None:
    kinesis.delete_stream(StreamName="s")
    with pytest.raises(StreamMissingError, match="stream s"):
        query(retryDeadline="10s").tick()


def test_shards_that_change_with_every_listing(
    query: Make, kinesis: FakeKinesis, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is never known whose they are; nobody asks without a wait, or without an end."""
    answer = kinesis.list_shards

    def another(**request: Any) -> Any:
        found = answer(**request)
        for one in found["Shards"]:
            one["SequenceNumberRange"]["StartingSequenceNumber"] = str(kinesis.calls["list_shards"])
        return found

    monkeypatch.setattr(kinesis, "list_shards", another)
    began_s = clock.monotonic()
    with pytest.raises(UnavailableError, match="change with every listing"):
        query(retryDeadline="30s").tick()
    assert 25 < clock.monotonic() - began_s < 35
    assert kinesis.calls["list_shards"] < 60


def replaced(kinesis: FakeKinesis, clock: ManualClock) -> None:
    clock.sleep(5)
    kinesis.delete_stream(StreamName="s")
    kinesis.create_stream(StreamName="s", ShardCount=2)


def test_a_stream_made_anew_while_the_query_was_away(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    put(5)
    reading = query()
    reading.drain()
    replaced(kinesis, clock)
    put(5)
    reading.restart()
    with pytest.raises(StreamReplacedError, match=r"1767225600000.*17672256\d+"):
        reading.tick()


def test_a_stream_made_anew_under_the_running_query(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    expected = put(5)
    reading = query()
    reading.drain()
    replaced(kinesis, clock)
    put(5)
    with pytest.raises(StreamReplacedError):
        reading.drain()
    assert sorted(reading.data) == sorted(expected)


def test_a_stream_made_anew_between_fetch_and_plan_is_not_mixed(
    query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock
) -> None:
    """Even if the old iterators went on to work, as some servers' do."""
    put(5)
    reading = query(shardFetchInterval="1h")
    reading.drain()
    put(5)
    reading.fetch()
    replaced(kinesis, clock)
    with pytest.raises(StreamReplacedError):
        reading.plan()


def test_a_replay_of_a_stream_made_anew(query: Make, put: Make, kinesis: FakeKinesis, clock: ManualClock) -> None:
    put(5)
    reading = query()
    reading.tick()
    reading.fetch()
    reading.plan()
    replaced(kinesis, clock)
    put(5)
    reading.restart()
    with pytest.raises(StreamReplacedError):
        reading.read()


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
    said = [vars(record)["shard"] for record in caplog.records if "expired unread" in record.message]
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
    assert reading.reader.reportLatestOffset()["behind_ms"] == 0


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
