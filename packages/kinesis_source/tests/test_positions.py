"""Where a query begins: the oldest record, now, or a time."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ReadTimeoutError
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock

Make = Callable[..., Any]


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
