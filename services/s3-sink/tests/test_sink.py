"""The loop over a log and an archive in memory, with a clock that moves when told: outages, new logs, holes, limits."""

import gzip
import json
import logging
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts import dead_letters, objects
from prometheus_client import CollectorRegistry
from s3_sink.chain import Chain, Epoch
from s3_sink.connector import Connector
from s3_sink.coverage import Coverage, Hole, Range
from s3_sink.fakes import FakeArchive, FakeLog
from s3_sink.health import Health
from s3_sink.metrics import Metrics
from s3_sink.partition import Partition
from s3_sink.placement import Placement
from s3_sink.ports import Header, Record, TopicPartition
from s3_sink.sink import Limits, Sink
from s3_sink.store import Storer
from s3_sink.uploads import Uploads
from s3_sink.window import Window
from service_kit.clock import ManualClock
from service_kit.ops import NotReadyError
from service_kit.retries import RetryPolicy

PIN = TopicPartition("a.pin", 0)
GEO = TopicPartition("a.pin", 1)
DLQ = TopicPartition("a.dlq", 0)
CONNECTORS = [
    Connector("a-s3-sink", "json", ("a.pin",), "a-raw", "a.dlq"),
    Connector("a-dead-letters", "bytes", ("a.dlq",), "a-raw", None),
]
LIMITS = Limits(
    flush_interval_s=2,
    window_bytes=2_000,
    total_bytes=5_000,
    log_check_interval_s=1,
    verify_interval_s=10,
    stuck_after_s=60,
)


class SuspendedError(Exception):
    """A store waits for its next try."""


class LazyStores(Executor):
    """Runs a store when somebody looks whether it is done; one that would wait begins again at the next look."""

    def __init__(self) -> None:
        self.held = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        executor = self

        class Lazy(Future[Any]):
            def done(self) -> bool:
                if not executor.held and not super().done():
                    try:
                        self.set_result(fn(*args, **kwargs))
                    except SuspendedError:
                        return False
                    except Exception as error:  # noqa: BLE001 (a future keeps any)
                        self.set_exception(error)
                return super().done()

        return Lazy()


class Broker(FakeLog):
    """Dead letters can be read from their topic, as from a real one."""

    def dead_letter(self, topic: str, letters: Any) -> None:
        super().dead_letter(topic, letters)
        for letter in letters:
            self.produce(TopicPartition(topic, 0), letter.key, letter.value)


class World:
    def __init__(self, archive: FakeArchive | None = None, log: Broker | None = None) -> None:
        self.clock = ManualClock()
        self.archive = archive or FakeArchive()
        self.log = log or Broker()
        if log is None:
            self.log.create("a.pin", "log-1", 2)
            self.log.create("a.dlq", "dlq-1", 1)
        self.started = 0
        self.lister: Executor = InlineExecutor()
        self.start()

    def start_with_lister(self, lister: Executor) -> None:
        """A new process that lists objects by this."""
        self.lister = lister
        self.start()

    def start(self) -> None:
        """A new process, which knows nothing."""
        self.started += 1
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        retries = RetryPolicy(float("inf"), clock=self.clock)
        self.stores, self.letters = LazyStores(), LazyStores()
        self.health = Health(clock=self.clock, loop_limit_s=60)
        chain = Chain(self.archive, InlineExecutor(), lambda: False)
        self.placement = Placement(CONNECTORS, self.log, chain, self.clock, self.metrics)
        self.storer = Storer(
            archive=self.archive,
            log=self.log,
            writer_id=f"writer-{id(self)}-{self.started}",
            retries=retries,
            wait=self.suspend,
            given_up=lambda: False,
        )
        self.sink = Sink(
            placement=self.placement,
            log=self.log,
            uploads=Uploads(self.storer, self.stores, self.letters, self.metrics),
            lister=self.lister,
            limits=LIMITS,
            retries=retries,
            metrics=self.metrics,
            health=self.health,
            pause=self.clock.sleep,
        )

    def suspend(self, _seconds: float) -> None:
        raise SuspendedError

    def run(self, seconds: float = 5) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.sink.step()
            self.clock.sleep(0.5)

    def produce(self, count: int, place: TopicPartition = PIN, value: bytes | None = None) -> None:
        log_id = self.log.topics[place.topic].state.log_id
        for _ in range(count):
            offset = self.log.topics[place.topic].highs[place.partition]
            made = json.dumps({"log": log_id, "partition": place.partition, "offset": offset}).encode()
            self.log.produce(place, b"7", made if value is None else value)

    def lines(self, place: TopicPartition = PIN, log_id: str | None = None) -> list[dict[str, Any]]:
        prefix = objects.partition_prefix(place.topic, place.partition, log_id)
        found = []
        for key in sorted(self.archive.objects):
            if key.startswith(prefix) and self.archive.objects[key][1]:
                found += [json.loads(line) for line in gzip.decompress(self.archive.objects[key][0]).splitlines()]
        return found

    def offsets(self, place: TopicPartition = PIN, log_id: str | None = None) -> list[int]:
        return [line["offset"] for line in self.lines(place, log_id)]

    def names(self, place: TopicPartition = PIN) -> list[tuple[int, int]]:
        prefix = objects.partition_prefix(place.topic, place.partition)
        return [
            (int(metadata[objects.FIRST_OFFSET]), int(metadata[objects.NEXT_OFFSET]))
            for key, (_, metadata) in sorted(self.archive.objects.items())
            if key.startswith(prefix) and metadata
        ]

    def counted(self, name: str) -> float:
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"s3_sink_{name}"
        )

    def said(self, name: str) -> str:
        """What a check says, good or bad."""
        try:
            return self.health.checks()[name]()
        except NotReadyError as error:
            return str(error)

    def ready(self) -> dict[str, bool]:
        result = {}
        for name, check in self.health.checks().items():
            try:
                check()
            except NotReadyError:
                result[name] = False
            else:
                result[name] = True
        return result


class InlineExecutor(Executor):
    """Calls at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (a future keeps any)
            future.set_exception(error)
        return future


@pytest.fixture
def world() -> World:
    return World()


def test_records_become_objects_after_the_interval(world: World) -> None:
    world.produce(3)
    world.produce(2, GEO)
    world.run(1)
    assert world.archive.objects == {}
    world.run()
    assert world.names(PIN) == [(0, 3)]
    assert world.names(GEO) == [(0, 2)]
    assert [line["value"]["offset"] for line in world.lines()] == [0, 1, 2]
    world.produce(1)
    world.run()
    assert world.names(PIN) == [(0, 3), (3, 4)]
    assert world.counted("records_total") == 6
    assert all(world.ready().values())


def test_a_large_window_is_cut_before_the_interval(world: World) -> None:
    world.produce(30)
    for _ in range(3):
        world.sink.step()
    assert world.names()[0][0] == 0


def test_offsets_without_records_are_covered(world: World) -> None:
    world.produce(2)
    world.log.skip(PIN, 5)
    world.produce(1)
    world.run()
    assert world.names() == [(0, 8)]
    assert world.offsets() == [0, 1, 7]


def test_a_new_process_goes_on_from_the_objects(world: World) -> None:
    world.produce(3)
    world.run()
    world.produce(3)
    world.sink.step()
    world.start()
    world.produce(1)
    world.run()
    assert world.names() == [(0, 3), (3, 7)]
    assert world.offsets() == list(range(7))


def test_a_hole_is_filled_exactly(world: World) -> None:
    for _ in range(4):
        world.produce(5)
        world.run()
    for first in (5, 10):
        del world.archive.objects[objects.ObjectName("a.pin", 0, first).key]
    before = dict(world.archive.objects)
    world.produce(1)
    world.run(30)
    assert world.names() == [(0, 5), (5, 15), (15, 20), (20, 21)]
    assert world.offsets() == list(range(21))
    assert before.items() <= world.archive.objects.items(), "an object was changed"
    assert world.counted("replaced_total") == 1


def test_a_hole_without_records_is_closed_too(world: World) -> None:
    world.produce(1)
    world.run()
    world.log.skip(PIN, 3)
    world.produce(1)
    world.start()
    world.run()
    for first in (0, 1):
        assert world.archive.objects.pop(objects.ObjectName("a.pin", 0, first).key)
    world.archive.objects |= {
        objects.ObjectName("a.pin", 0, first).key: (
            gzip.compress(b""),
            {"log-id": "log-1", "first-offset": str(first), "next-offset": str(end), "writer-id": "x"},
        )
        for first, end in ((0, 1), (4, 5))
    }
    world.start()
    world.run()
    assert world.names() == [(0, 1), (1, 4), (4, 5)]


def test_a_bucket_made_anew_is_filled_again(world: World) -> None:
    world.produce(5)
    world.run()
    world.archive.objects.clear()
    world.archive.exists = False
    world.produce(5)
    world.run(15)
    assert not world.ready()["bucket"]
    assert world.archive.objects == {}
    world.archive.exists = True
    world.run(30)
    assert world.offsets() == list(range(10))
    assert all(world.ready().values())


def test_an_emptied_bucket_without_new_records_is_filled_again(world: World) -> None:
    world.produce(5)
    world.run()
    world.archive.objects.clear()
    world.run(15)
    assert world.offsets() == list(range(5))


def test_s3_may_be_away(world: World) -> None:
    world.produce(5)
    world.run()
    world.archive.available = False
    world.produce(5)
    world.run(90)
    assert world.ready() == {"kafka": True, "bucket": False, "partitions": False}
    world.archive.available = True
    world.run(20)
    assert world.offsets() == list(range(10))
    assert all(world.ready().values())


def test_memory_is_bounded_while_s3_is_away(world: World) -> None:
    world.log.batch_size = 5
    world.run(1)
    world.archive.available = False
    world.produce(500)
    world.produce(500, GEO)
    world.run(30)
    batch_bytes = 2 * 5 * 200
    assert LIMITS.total_bytes <= world.counted("buffered_bytes") <= LIMITS.total_bytes + batch_bytes
    world.archive.available = True
    world.run(300)
    assert world.offsets() == list(range(500))
    assert world.offsets(GEO) == list(range(500))
    assert world.counted("buffered_bytes") == 0


def test_the_broker_may_be_away(world: World) -> None:
    world.produce(5)
    world.run(1)
    world.log.available = False
    world.run(30)
    assert not world.ready()["kafka"]
    world.log.available = True
    world.run(20)
    assert world.offsets() == list(range(5))


def test_nothing_is_there_at_the_start() -> None:
    log = Broker()
    world = World(log=log)
    world.archive.exists = False
    world.run(3)
    assert world.ready() == {"kafka": False, "bucket": False, "partitions": True}
    log.create("a.pin", "log-1", 2)
    log.create("a.dlq", "dlq-1", 1)
    world.produce(1)
    world.run(20)
    assert world.ready() == {"kafka": True, "bucket": False, "partitions": True}
    world.archive.exists = True
    world.run(20)
    assert world.offsets() == [0]


def test_poison_goes_to_the_dead_letters_and_those_to_objects(world: World) -> None:
    world.produce(1)
    world.produce(1, value=b"not json")
    world.produce(1)
    world.run(15)
    assert world.names() == [(0, 3)]
    assert world.offsets() == [0, 2]
    (letter,) = world.log.dead_letters["a.dlq"]
    headers = {header.key: header.value for header in letter.origin}
    assert (letter.key, letter.value) == (b"7", b"not json")
    assert headers[dead_letters.TOPIC] == b"a.pin"
    assert headers[dead_letters.OFFSET] == b"1"
    assert headers[dead_letters.LOG_ID] == b"log-1"
    assert world.lines(DLQ)[0]["value"] == "bm90IGpzb24="


def test_a_window_of_nothing_but_poison_advances(world: World) -> None:
    world.produce(3, value=b"{")
    world.run()
    assert world.names() == [(0, 3)]
    assert world.lines() == []
    ((body, metadata),) = [found for key, found in world.archive.objects.items() if "a.pin" in key]
    assert gzip.decompress(body) == b""
    assert (metadata[objects.RECORDS], metadata[objects.DEAD_LETTERED]) == ("0", "3")


def test_a_batch_that_cannot_be_read_is_named_and_passed_over(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.produce(2)
    world.log.spoil(PIN, 3)
    world.produce(2)
    world.log.spoil(DLQ, 4)
    with caplog.at_level(logging.ERROR):
        world.run(20)
    assert world.offsets() == [0, 1, 5, 6]
    assert [record.__dict__["last"] for record in caplog.records if record.__dict__.get("topic") == "a.pin"] == [4]
    assert world.counted("unreadable_records_total") == 3 + 4
    letters = world.log.dead_letters["a.dlq"]
    told = [{header.key: (header.value or b"").decode() for header in letter.origin} for letter in letters]
    names = (dead_letters.TOPIC, dead_letters.OFFSET, dead_letters.LAST_OFFSET)
    assert sorted([one[name] for name in names] for one in told) == [["a.dlq", "0", "3"], ["a.pin", "2", "4"]]
    assert b"offsets 2 to 4 cannot be read: the batch is damaged" in {letter.value for letter in letters}
    assert all(world.ready().values())


def test_a_topic_made_anew_gets_a_prefix_of_its_own(world: World) -> None:
    world.produce(5)
    world.run()
    world.produce(2)
    world.sink.step()  # read, not stored
    world.log.create("a.pin", "log/+2", 2)
    world.produce(4)
    world.run(15)
    assert world.offsets() == list(range(5))
    assert world.offsets(PIN, "log/+2") == list(range(4))
    assert {line["value"]["log"] for line in world.lines(PIN, "log/+2")} == {"log/+2"}
    assert world.counted("epoch_changes_total") == 1
    world.start()
    world.produce(1)
    world.run()
    assert world.offsets(PIN, "log/+2") == list(range(5))


def test_a_longer_new_log_is_never_mixed_with_the_old_one(world: World) -> None:
    """The position of the old log is inside the new one, and the fake's reader reads on silently."""
    world.produce(5)
    world.run(0.5)
    world.log.create("a.pin", "log/+2", 2)
    world.produce(50)
    world.run(0.5)
    world.run(30)
    assert world.offsets(PIN, "log/+2") == [] or {line["value"]["log"] for line in world.lines(PIN, "log/+2")} == {
        "log/+2"
    }
    assert {line["value"]["log"] for line in world.lines(PIN)} <= {"log-1", "log/+2"}
    for key, (body, metadata) in world.archive.objects.items():
        logs = {json.loads(line)["value"]["log"] for line in gzip.decompress(body).splitlines()}
        assert logs <= {metadata[objects.LOG_ID]}, key
    owner = None if not world.offsets(PIN, "log/+2") else "log/+2"
    assert world.offsets(PIN, owner) == list(range(50))


def test_a_store_of_the_old_log_may_end_after_the_change(world: World) -> None:
    world.produce(5)
    world.stores.held = True
    world.run(4)
    world.log.create("a.pin", "log/+2", 2)
    world.produce(3)
    world.run(4)
    world.stores.held = False
    world.run(15)
    for body, metadata in world.archive.objects.values():
        for line in gzip.decompress(body).splitlines():
            assert json.loads(line)["value"]["log"] == metadata[objects.LOG_ID]
    counts = Counter(metadata[objects.LOG_ID] for _, metadata in world.archive.objects.values())
    assert set(counts) == {"log-1", "log/+2"}


def test_new_partitions_are_archived(world: World) -> None:
    world.produce(2)
    world.run(1)
    added = world.log.add_partition("a.pin")
    world.produce(3, added)
    world.run(10)
    assert world.offsets(added) == [0, 1, 2]
    assert world.offsets() == [0, 1]


def test_expired_records_are_named_and_passed_over(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.produce(3)
    world.run()
    world.start()
    world.produce(10)
    world.log.expire(PIN, 8)
    with caplog.at_level(logging.ERROR):
        world.run(40)
    assert world.offsets() == [0, 1, 2, 8, 9, 10, 11, 12]
    assert world.names() == [(0, 3), (8, 13)]
    assert world.counted("expired_records_total") == 5
    (record,) = caplog.records
    assert (record.__dict__["first"], record.__dict__["last"]) == (3, 7)
    assert all(world.ready().values())


def test_what_was_read_before_it_expired_is_kept(world: World) -> None:
    world.log.batch_size = 2
    world.produce(10)
    world.sink.step()
    world.log.expire(PIN, 6)
    world.run(20)
    assert world.offsets() == [0, 1, 6, 7, 8, 9]
    assert world.names() == [(0, 2), (6, 10)]


def test_the_reason_stays_while_reading_is_tried_again() -> None:
    partition = Partition(CONNECTORS[0], Epoch("a.pin", "log-1", None), PIN, Coverage())
    partition.reading_failed("the batch at offset 0 cannot be unpacked", 0)
    partition.reading_resumes(nothing_left=False)
    assert (partition.problem, partition.waiting) == (None, "the batch at offset 0 cannot be unpacked")
    assert partition.stuck_for(61) == 61
    partition.take(Record(PIN, 0, None, b"1", 0), 62)
    assert (partition.waiting, partition.stuck_for(62)) == (None, 0)


def test_a_log_cut_short_is_waited_for_and_told(world: World) -> None:
    world.produce(5)
    world.run()
    cut = world.log.topics["a.pin"]
    records, cut.records[0], cut.highs[0] = cut.records[0], cut.records[0][:3], 3
    world.start()
    world.run(90)
    assert not world.ready()["partitions"]
    assert world.names() == [(0, 5)]
    cut.records[0], cut.highs[0] = records, 5
    world.produce(1)
    world.run(10)
    assert world.offsets() == list(range(6))
    assert all(world.ready().values())


def test_two_sinks_on_one_bucket_get_in_each_others_way_and_lose_nothing(world: World) -> None:
    other = World(world.archive, world.log)
    for _ in range(40):
        world.produce(3)
        world.run(0.5)
        other.run(0.5)
    world.run(10)
    assert world.offsets() == list(range(120))
    assert world.counted("other_writers_total") + other.counted("other_writers_total") > 0
    assert all(world.ready().values())
    assert all(other.ready().values())


def test_a_marker_at_the_end_is_covered_by_an_object(world: World) -> None:
    world.log.begin(PIN)
    world.produce(2)
    world.run(90)
    assert world.names() == []
    assert "a transaction of another program, begun at offset 0, has not ended" in world.said("partitions")
    world.log.end(PIN, commit=True)
    world.run()
    assert (world.names(), world.offsets()) == ([(0, 3)], [0, 1])
    world.log.begin(PIN)
    world.produce(4)
    world.log.end(PIN, commit=False)
    world.run(90)
    assert (world.names(), world.offsets()) == ([(0, 3), (3, 8)], [0, 1])
    assert world.counted("lag_records") == 0
    assert all(world.ready().values())


def test_a_hole_before_an_object_is_covered_though_no_record_lies_in_it(world: World) -> None:
    world.produce(1)
    world.run()
    world.log.skip(PIN, 5)
    world.run()
    world.produce(1)
    world.run()
    del world.archive.objects[objects.ObjectName("a.pin", 0, 1).key]
    world.run(20)
    assert world.names() == [(0, 1), (1, 6), (6, 7)]


def test_no_header_stops_a_record(world: World) -> None:
    for value in (b"{}", b"poison"):
        world.log.produce(PIN, None, value, headers=[(b"\xff", b"x")])
        world.log.produce(PIN, None, value, headers=[(b"k", b"\xff")])
    world.log.produce(DLQ, None, b"\xff", headers=[(b"\xff", b"x")])
    world.run(15)
    assert world.offsets() == [0, 1]
    assert [letter.value for letter in world.log.dead_letters["a.dlq"]] == [b"poison"] * 2
    keys = [[header.key for header in letter.headers] for letter in world.log.dead_letters["a.dlq"]]
    assert keys == [[dead_letters.UNREADABLE_HEADERS], ["k"]]
    assert world.lines(DLQ)[0]["headers"][0]["key"] == dead_letters.UNREADABLE_HEADERS


def test_a_topic_with_its_senders_times_is_warned_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.log.create("a.pin", "log-1", 2, sender_times=True)
    world.log.produce(PIN, None, b"1", 2**63 - 1)
    world.log.produce(PIN, None, b"1", 5)
    world.run()
    assert [line["timestamp"] for line in world.lines()] == [None, "1970-01-01T00:00:00.005Z"]
    assert caplog.text.count("timestamps are set by its senders") == 1
    assert "a.pin" in world.said("partitions")
    assert all(world.ready().values())


@pytest.mark.parametrize(
    "key",
    [
        "topics/a.pin/partition=0/",
        "topics/a.pin/partition=0/copy of a.pin+0+00000000000000000000.jsonl.gz",
        "topics/a.pin/partition=0/folder/a.pin+0+00000000000000000000.jsonl.gz",
        "topics/a.pin/partition=0/a.pin+0+0000000722.jsonl.gz",
        "topics/a.pin/partition=0/a.pin+0+00000000000000000722.jsonl.gz",
        "topics/a.pin/log=other/partition=0/a.pin+0+00000000000000000000.jsonl.gz",
    ],
)
def test_what_others_put_into_the_bucket_stops_nothing(world: World, key: str) -> None:
    for moment in range(3):
        if moment:
            world.archive.put(f"{key}{moment}" if moment == 2 else key, b"x", {})
        world.produce(2)
        world.run(15)
        world.start()
    world.produce(2)
    world.run(15)
    assert world.offsets() == list(range(8))
    assert all(world.ready().values())


def test_other_bytes_under_the_next_name_hold_that_partition_alone(world: World) -> None:
    world.produce(2)
    world.run()
    foreign = objects.ObjectName("a.pin", 0, 2).key
    world.archive.put(foreign, b"x", {})
    world.produce(3)
    for _ in range(3):
        world.produce(1, GEO)
        world.run(15)
        assert world.names() == [(0, 2)]
        said = world.said("partitions")
        assert f"a.pin-0 waits: {foreign} was not written by this sink" in said
        assert not world.ready()["partitions"]
        assert world.counted("lag_records") == 3
        assert world.counted("oldest_unarchived_seconds") >= 9, "it waits for nearly all of the 10 s"
        world.start()
    assert world.offsets(GEO) == [0, 1, 2]
    world.run(15)
    del world.archive.objects[foreign]
    world.run(25)
    assert world.offsets() == list(range(5))
    assert all(world.ready().values())


def test_a_dead_letter_topic_that_is_away_holds_only_what_must_wait(world: World) -> None:
    """Windows with dead letters that cannot be stored occupy their own threads."""
    given_up = Event()
    with ThreadPoolExecutor(1) as threads, ThreadPoolExecutor(1) as with_letters, ExitStack() as at_the_end:
        at_the_end.callback(given_up.set)
        storer = Storer(
            archive=world.archive,
            log=world.log,
            writer_id="w",
            retries=RetryPolicy(float("inf"), first_wait_s=0.01),
            wait=given_up.wait,
            given_up=given_up.is_set,
        )
        world.sink._uploads = Uploads(storer, threads, with_letters, world.metrics)
        gone = world.log.topics.pop("a.dlq")
        world.produce(1, value=b"poison")

        def runs_until(condition: Callable[[], bool]) -> None:
            for _ in range(1_000):
                world.run(0.5)
                if condition():
                    return
                time.sleep(0.001)
            pytest.fail("in vain")

        runs_until(lambda: "no such topic: a.dlq" in world.said("partitions"))
        world.produce(3, GEO)
        runs_until(lambda: world.offsets(GEO) == [0, 1, 2])
        assert not world.ready()["partitions"]
        assert world.names() == []
        world.log.topics["a.dlq"] = gone
        runs_until(lambda: world.names() == [(0, 1)])
        runs_until(lambda: all(world.ready().values()))


class HeldExecutor(InlineExecutor):
    """Calls when it is let go."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def let_go(self) -> None:
        for future, call in self.waiting:
            future.set_result(call())
        self.waiting.clear()


def test_a_long_listing_holds_nothing_up(world: World) -> None:
    """A start needs the last objects alone; what is missing before them is found by the listing, and filled."""
    for _ in range(4):
        world.produce(5)
        world.run()
    del world.archive.objects[objects.ObjectName("a.pin", 0, 5).key]
    held = HeldExecutor()
    world.start_with_lister(held)
    heads = world.archive.heads
    world.produce(5)
    world.run(200)
    assert world.names() == [(0, 5), (10, 15), (15, 20), (20, 25)]
    assert all(world.ready().values())
    assert world.archive.heads - heads < 5
    held.let_go()
    world.run(5)
    held.let_go()
    world.run(5)
    assert world.offsets() == list(range(25))
    assert world.counted("replaced_total") == 1


def test_what_is_stored_while_the_objects_are_listed_is_no_hole(world: World) -> None:
    held = HeldExecutor()
    world.start_with_lister(held)
    world.produce(5)
    world.run()
    ((future, listing),) = held.waiting
    held.waiting.clear()
    found = listing()
    world.produce(5)
    world.run()
    future.set_result(found)
    world.produce(5)
    world.run()
    assert world.names() == [(0, 5), (5, 10), (10, 15)]
    assert world.counted("replaced_total") == 0


@pytest.mark.parametrize(
    ("value", "headers"), [(b"1", []), (b"x", []), (b"x", [(b"k", b"v")] * 50), (b"[" * 3_000, [])]
)
def test_memory_is_counted_with_what_python_adds(value: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    records = []
    for offset in range(2_000):
        made = [Header(key.decode() + str(offset % 7), bytes([*word, offset % 256])) for key, word in headers]
        records.append(Record(PIN, offset, b"k", value, 0, partial(tuple, made)))
    tracemalloc.start()
    window = Window(Hole(0, None), "json", "the-sink", "log-1")
    before, _ = tracemalloc.get_traced_memory()
    for record in records:
        window.take(record)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.9 * (after - before) <= window.size_bytes


def test_stopping_stores_what_was_read(world: World) -> None:
    world.produce(5)
    world.sink.step()
    assert world.archive.objects == {}
    world.sink.drain(10)
    assert world.offsets() == list(range(5))


def test_stopping_without_a_broker_loses_nothing(world: World) -> None:
    world.produce(5)
    world.sink.step()
    world.log.available = False
    world.sink.drain(10)
    assert world.archive.objects == {}
    world.log.available = True
    world.start()
    world.run()
    assert world.offsets() == list(range(5))


actions = st.lists(
    st.one_of(
        st.tuples(st.just("produce"), st.integers(1, 15)),
        st.tuples(st.just("poison"), st.integers(1, 3)),
        st.tuples(st.just("spoil"), st.integers(1, 5)),
        st.tuples(st.just("skip"), st.integers(1, 3)),
        st.tuples(st.just("begin"), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 1)),
        st.tuples(st.just("foreign"), st.integers(0, 40)),
        st.tuples(st.just("run"), st.integers(1, 8)),
        st.tuples(st.just("hold"), st.integers(0, 1)),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("empty"), st.just(0)),
        st.tuples(st.just("lose_answer"), st.just(0)),
        st.tuples(st.just("s3"), st.integers(0, 1)),
        st.tuples(st.just("bucket"), st.integers(0, 1)),
        st.tuples(st.just("kafka"), st.integers(0, 1)),
        st.tuples(st.just("new_log"), st.just(0)),
    ),
    max_size=25,
)


def act(world: World, action: str, number: int, logs: list[str]) -> None:
    match action:
        case "produce":
            world.produce(number)
        case "poison":
            world.produce(number, value=b"poison")
        case "spoil":
            world.log.spoil(PIN, number)
        case "skip":
            world.log.skip(PIN, number)
        case "begin" if world.log.topics["a.pin"].open_since[0] is None:
            world.log.begin(PIN)
        case "end" if world.log.topics["a.pin"].open_since[0] is not None:
            world.log.end(PIN, commit=bool(number))
        case "foreign" if world.archive.exists:
            world.archive.objects.setdefault(objects.ObjectName("a.pin", 0, number).key, (b"", {}))
            world.archive.objects["topics/a.pin/partition=0/copy"] = (b"", {})
        case "run":
            world.run(number)
        case "hold":
            world.stores.held = world.letters.held = bool(number)
        case "kill":
            world.start()
        case "delete":
            keys = sorted(world.archive.objects)
            if number < len(keys):
                del world.archive.objects[keys[number]]
        case "empty":
            world.archive.objects.clear()
        case "lose_answer":
            world.archive.loses_answers = 1
        case "s3":
            world.archive.available = bool(number)
        case "bucket":
            world.archive.exists = bool(number)
            if not number:
                world.archive.objects.clear()
        case "kafka":
            world.log.available = bool(number)
        case "new_log":
            logs.append(f"log/+{len(logs) + 1}")
            world.log.create("a.pin", logs[-1], 2)


@settings(max_examples=200, deadline=None)
@given(actions)
def test_whatever_happens_each_record_of_the_log_is_archived_once(todo: list[tuple[str, int]]) -> None:
    world = World()
    logs = ["log-1"]
    for action, number in todo:
        act(world, action, number, logs)
    # All is well again, and somebody has taken away what is not ours.
    world.archive.available = world.archive.exists = world.log.available = True
    world.stores.held = world.letters.held = False
    world.archive.loses_answers = 0
    act(world, "end", 1, logs)
    world.archive.objects = {key: found for key, found in world.archive.objects.items() if found[1]}
    world.run(60)
    assert all(world.ready().values())
    for number, high in enumerate(world.log.topics["a.pin"].highs):
        prefix = None if world.placement._epochs["a.pin"].prefix_log_id is None else logs[-1]
        listed = Chain(world.archive, InlineExecutor(), lambda: False).listing(Epoch("a.pin", logs[-1], prefix))
        assert list(listed.covered.get(number, Coverage())) == ([Range(0, high)] if high else [])

    archived: Counter[int] = Counter()
    for body, metadata in world.archive.objects.values():
        lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
        assert len(lines) == int(metadata[objects.RECORDS])
        if metadata[objects.LOG_ID].startswith("log"):
            assert {line["value"]["log"] for line in lines} <= {metadata[objects.LOG_ID]}
            offsets = [line["offset"] for line in lines]
            assert offsets == sorted(offsets)
            inside = range(int(metadata[objects.FIRST_OFFSET]), int(metadata[objects.NEXT_OFFSET]))
            assert set(offsets) <= set(inside)
        if metadata[objects.LOG_ID] == logs[-1]:
            archived.update(line["offset"] for line in lines)
    stored = world.log.topics["a.pin"].records[0]
    assert archived == Counter(record.offset for record in stored if record.value != b"poison")
    dead = set()
    for letter in world.log.dead_letters["a.dlq"]:
        headers = {header.key: header.value or b"" for header in letter.origin}
        if headers[dead_letters.LOG_ID] == logs[-1].encode():
            first = int(headers[dead_letters.OFFSET])
            dead |= set(range(first, int(headers.get(dead_letters.LAST_OFFSET, first)) + 1))
    assert dead >= {offset for one in world.log.topics["a.pin"].spoiled[0] for offset in range(one.first, one.end)}
    assert dead >= {record.offset for record in stored if record.value == b"poison"}


def test_real_threads_store_the_same(world: World) -> None:
    """The loop's state is touched by one thread only: stores on others change nothing."""
    with ThreadPoolExecutor(4) as threads:
        world.sink._uploads = Uploads(world.storer, threads, threads, world.metrics)
        for _ in range(50):
            world.produce(20)
            world.produce(20, GEO)
            world.run(0.5)
        for _ in range(1_000):
            world.run(0.5)
            if world.counted("records_total") == 2_000:
                break
            time.sleep(0.001)
    assert world.offsets() == list(range(1_000))
    assert world.offsets(GEO) == list(range(1_000))
