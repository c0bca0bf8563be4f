"""A stream that is deleted and made again under the same name."""

from collections.abc import Callable
from typing import Any

import pytest
from kinesis_source.errors import (
    StreamReplacedError,
)
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock

Make = Callable[..., Any]


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
