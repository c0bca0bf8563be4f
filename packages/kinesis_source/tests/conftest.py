from collections.abc import Callable
from pathlib import Path

import pytest
from kinesis_query import Query
from kinesis_source.fakes import FakeKinesis
from service_kit.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def kinesis(clock: ManualClock) -> FakeKinesis:
    fake = FakeKinesis(clock)
    fake.create_stream(StreamName="s", ShardCount=2)
    return fake


@pytest.fixture
def query(kinesis: FakeKinesis, tmp_path: Path, clock: ManualClock) -> Callable[..., Query]:
    """Make queries of stream ``s``; options by keyword."""
    return lambda **options: Query(kinesis, tmp_path, clock, options)


@pytest.fixture
def put(kinesis: FakeKinesis) -> Callable[..., list[bytes]]:
    """Put numbered records; gives their data."""
    numbers = iter(range(1_000_000))

    def call(count: int, key: str | None = None) -> list[bytes]:
        data = [b"%d" % next(numbers) for _ in range(count)]
        entries = [{"Data": value, "PartitionKey": key or value.decode()} for value in data]
        kinesis.put_records(StreamName="s", Records=entries)
        return data

    return call
