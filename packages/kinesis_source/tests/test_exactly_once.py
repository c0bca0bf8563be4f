"""Whatever happens in whatever order, each record is read once, and a batch is always the same."""

import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_source.fakes import FakeKinesis, error
from service_kit.clock import ManualClock

FAULTS = [
    ("get_records", error("GetRecords", "ProvisionedThroughputExceededException")),
    ("get_records", error("GetRecords", "ExpiredIteratorException")),
    ("get_shard_iterator", EndpointConnectionError(endpoint_url="http://away")),
    ("list_shards", error("ListShards", "LimitExceededException")),
]
ACTIONS = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 9)),
    st.tuples(st.just("split"), st.integers(0, 9)),
    st.tuples(st.just("merge"), st.integers(0, 9)),
    st.tuples(st.just("fetch"), st.integers(1, 6)),
    st.tuples(st.just("tick"), st.just(0)),
    st.tuples(st.just("fault"), st.integers(0, len(FAULTS) - 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, 400])),
    st.tuples(st.just("delete spool"), st.just(0)),
    st.tuples(st.just("crash after planning"), st.just(0)),
    st.tuples(st.just("crash after reading"), st.just(0)),
    st.tuples(st.just("crash"), st.just(0)),
)


class World:
    """A stream, a query of it, and what may happen to both."""

    def __init__(self, folder: Path, query_class: Any, options: dict[str, str]) -> None:
        self.clock = ManualClock()
        self.kinesis = FakeKinesis(self.clock, page_size=5)
        self.kinesis.create_stream(StreamName="s", ShardCount=2)
        self.query = query_class(self.kinesis, folder, self.clock, options)
        self.put: list[bytes] = []
        self.planned: dict[int, Any] = {}

    def do(self, action: str, value: int) -> None:
        match action:
            case "put":
                entries = [self._entry() for _ in range(value)]
                self.kinesis.put_records(StreamName="s", Records=entries)
                self.clock.sleep(0.001)
            case "split":
                self._split(value)
            case "merge":
                self._merge(value)
            case "fetch":
                self.query.fetch(value)
            case "fault":
                operation, failure = FAULTS[value]
                self.kinesis.fail(operation, failure)
            case "wait":
                self.clock.sleep(value)
            case "delete spool":
                for file in self.query.spool.folder.iterdir():
                    file.unlink()
            case "tick":
                self.tick(commit=True)
            case "crash after planning":
                if self.query.plan():
                    self.query.restart()
            case "crash after reading":
                self.tick(commit=False)
                self.query.restart()
            case "crash":
                self.query.restart()

    def tick(self, *, commit: bool) -> bool:
        """A batch; one that was read before must be the same."""
        if not self.query.plan():
            return False
        rows = self.query.read()
        assert self.planned.setdefault(len(self.query.log), rows) == rows
        if commit:
            self.query.commit(rows)
        return True

    def _entry(self) -> dict[str, Any]:
        self.put.append(b"%d" % len(self.put))
        return {"Data": self.put[-1], "PartitionKey": str(len(self.put) % 7)}

    def _open(self) -> list[Any]:
        shards = self.kinesis._streams["s"].shards.values()
        return sorted((shard for shard in shards if shard.ending is None), key=lambda shard: shard.low)

    def _split(self, number: int) -> None:
        shards = self._open()
        shard = shards[number % len(shards)]
        if len(shards) < 6:
            self.kinesis.split_shard(
                StreamName="s", ShardToSplit=shard.shard_id, NewStartingHashKey=str((shard.low + shard.high) // 2)
            )

    def _merge(self, number: int) -> None:
        shards = self._open()
        if len(shards) > 1:
            at = number % (len(shards) - 1)
            self.kinesis.merge_shards(
                StreamName="s", ShardToMerge=shards[at].shard_id, AdjacentShardToMerge=shards[at + 1].shard_id
            )


@settings(deadline=None, max_examples=60)
@given(
    st.lists(ACTIONS, max_size=40),
    st.sampled_from([{}, {"maxRecordsPerTrigger": "3"}, {"maxRecordsPerFetch": "2", "fetchBufferSize": "200"}]),
)
def test_each_record_is_read_exactly_once(query_class: Any, actions: list[tuple[str, int]], options: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), query_class, options)
        for action, value in actions:
            world.do(action, value)
        idle = 0
        while idle < 40:  # a fault may keep a shard waiting for some seconds
            world.query.fetch()
            idle = 0 if world.tick(commit=True) else idle + 1
        query = world.query
    assert sorted(query.data) == sorted(world.put)
    assert_order(world)


def assert_order(world: World) -> None:
    """Within a shard by sequence number; a child only in batches after its parents'."""
    batches: dict[str, list[int]] = {}
    numbers: dict[str, list[int]] = {}
    for batch, rows in enumerate(world.query.batches):
        for shard_id, number, _ in rows:
            batches.setdefault(shard_id, []).append(batch)
            numbers.setdefault(shard_id, []).append(int(number))
    for shard_id, shard in world.kinesis._streams["s"].shards.items():
        assert numbers.get(shard_id, []) == sorted(numbers.get(shard_id, []))
        for parent in shard.parents:
            if shard_id in batches and parent in batches:
                assert max(batches[parent]) < min(batches[shard_id])
