"""Failed requests: which are tried again, for how long, and what ends the query."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from kinesis_source.errors import (
    AccessError,
    StreamMissingError,
    UnavailableError,
)
from kinesis_source.fake_shards import error
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock

Make = Callable[..., Any]
AWAY = EndpointConnectionError(endpoint_url="http://nowhere")
THROTTLED = error("GetRecords", "ProvisionedThroughputExceededException")


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
