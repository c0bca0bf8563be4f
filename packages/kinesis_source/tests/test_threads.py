"""The prefetcher's own threads, on the real clock; everything else about it is tested step by step."""

import time
from pathlib import Path
from typing import Any

import pytest
from kinesis_source.driver import Driver
from kinesis_source.errors import AccessError
from kinesis_source.fake_shards import error
from kinesis_source.fakes import FakeKinesis
from kinesis_source.options import parse_options
from kinesis_source.spool import Spool
from kinesis_source.stream import Stream
from service_kit.retries import RetryPolicy

DEADLINE_S = 10


@pytest.fixture
def kinesis() -> FakeKinesis:
    fake = FakeKinesis(page_size=7)
    fake.create_stream(StreamName="s", ShardCount=4)
    entries = [{"Data": b"%d" % number, "PartitionKey": str(number)} for number in range(200)]
    fake.put_records(StreamName="s", Records=entries)
    return fake


def driver(kinesis: FakeKinesis, folder: Path, threads: int) -> Driver:
    options = parse_options({"streamName": "s", "initialPosition": "trim_horizon", "pollInterval": "1ms"})
    stream = Stream(kinesis, options.stream_request)
    return Driver(stream, options, Spool(folder), retries=RetryPolicy(5), threads=threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_fetch_and_end(kinesis: FakeKinesis, tmp_path: Path, threads: int) -> None:
    driving = driver(kinesis, tmp_path, threads)
    offset = driving.initial_offset()
    read: dict[str, list[Any]] = {}
    end = time.monotonic() + DEADLINE_S
    while sum(chunk.rows for chunks in read.values() for chunk in chunks) < 200:
        assert time.monotonic() < end
        offset = driving.latest_offset(offset, None)
        for shard_id, entry in offset["shards"].items():
            if "first" in entry:
                read.setdefault(shard_id, []).extend(driving.pieces(shard_id, entry["first"], entry["last"]))
    assert len(read) == 4
    driving.stop()
    assert list(tmp_path.iterdir()) == [], "a stopped query leaves no file"


def test_what_ends_a_thread_is_raised_to_the_query(kinesis: FakeKinesis, tmp_path: Path) -> None:
    driving = driver(kinesis, tmp_path, 2)
    offset = driving.initial_offset()
    kinesis.fail("get_records", error("GetRecords", "AccessDeniedException", "not allowed"))
    end = time.monotonic() + DEADLINE_S

    def go_on() -> None:
        nonlocal offset
        while time.monotonic() < end:
            offset = driving.latest_offset(offset, None)

    with pytest.raises(AccessError, match="not allowed"):
        go_on()
    driving.stop()
