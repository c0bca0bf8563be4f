from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_contracts import objects
from pipeline_contracts.objects import ObjectName
from s3_sink.chain import Chain, Epoch, Listing, StoppedError
from s3_sink.coverage import Coverage, Range
from s3_sink.fakes import FakeArchive
from s3_sink.ports import BucketMissingError

PLAIN = Epoch("a.pin", "log-1", None)


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive()


@pytest.fixture
def chain(archive: FakeArchive) -> Iterator[Chain]:
    with ThreadPoolExecutor(2) as threads:
        yield Chain(archive, threads, lambda: False)


def put(archive: FakeArchive, log_id: str, covered: Range, partition: int = 0, prefix: str | None = None) -> str:
    key = ObjectName("a.pin", partition, covered.first, prefix).key
    metadata = {
        objects.LOG_ID: log_id,
        objects.FIRST_OFFSET: str(covered.first),
        objects.NEXT_OFFSET: str(covered.end),
        objects.WRITER_ID: "w",
    }
    archive.put(key, b"", metadata)
    return key


def test_the_plain_prefix_is_the_first_logs(archive: FakeArchive, chain: Chain) -> None:
    assert chain.epoch("a.pin", "log-1") == Epoch("a.pin", "log-1", None)
    put(archive, "log-1", Range(0, 5), partition=2)
    assert chain.epoch("a.pin", "log-1") == Epoch("a.pin", "log-1", None)
    assert chain.epoch("a.pin", "log-2") == Epoch("a.pin", "log-2", "log-2")


def test_a_log_with_objects_of_its_own_prefix_stays_there_when_the_plain_one_is_emptied(
    archive: FakeArchive, chain: Chain
) -> None:
    first = put(archive, "log-1", Range(0, 5))
    put(archive, "log-2", Range(0, 5), prefix="log-2")
    del archive.objects[first]
    assert chain.epoch("a.pin", "log-2").prefix_log_id == "log-2"
    assert chain.epoch("a.pin", "log-3").prefix_log_id is None


def test_a_topic_whose_name_begins_like_another(archive: FakeArchive, chain: Chain) -> None:
    put(archive, "log-1", Range(0, 5))
    assert chain.listing(Epoch("a.pi", "log-1", None)) == Listing()


def test_coverage_is_what_metadata_say(archive: FakeArchive, chain: Chain) -> None:
    put(archive, "log-1", Range(0, 5))
    put(archive, "log-1", Range(5, 7))
    put(archive, "log-1", Range(9, 12))
    put(archive, "log-1", Range(3, 4), partition=1)
    put(archive, "log-2", Range(0, 50), prefix="log-2")
    expected = {0: Coverage([Range(0, 7), Range(9, 12)]), 1: Coverage([Range(3, 4)])}
    assert chain.listing(PLAIN).covered == expected
    assert chain.listing(Epoch("a.pin", "log-2", "log-2")).covered == {0: Coverage([Range(0, 50)])}


def test_metadata_are_asked_once_per_content(archive: FakeArchive, chain: Chain) -> None:
    key = put(archive, "log-1", Range(0, 5))
    put(archive, "log-1", Range(5, 7))
    chain.listing(PLAIN)
    chain.listing(PLAIN)
    assert archive.heads == 2
    del archive.objects[key]
    put(archive, "log-1", Range(0, 3))
    assert chain.listing(PLAIN).covered == {0: Coverage([Range(0, 3), Range(5, 7)])}
    assert archive.heads == 3


def test_of_a_long_chain_only_what_changed_is_asked_again_and_little_is_remembered(
    archive: FakeArchive, chain: Chain
) -> None:
    keys = [put(archive, "log-1", Range(first, first + 1), partition) for partition in (0, 1) for first in range(3_000)]
    assert chain.listing(PLAIN).covered == {0: Coverage([Range(0, 3_000)]), 1: Coverage([Range(0, 3_000)])}
    assert archive.heads == 6_000
    put(archive, "log-1", Range(3_000, 3_001))
    del archive.objects[keys[1_500]]
    holes = Coverage([Range(0, 1_500), Range(1_501, 3_001)])
    assert chain.listing(PLAIN).covered == {0: holes, 1: Coverage([Range(0, 3_000)])}
    assert archive.heads - 6_000 < 2_000
    remembered = sum(len(held["a.pin"]) for held in (chain._blocks, chain._loose))
    assert remembered < 2_000


@given(
    firsts=st.sets(st.integers(0, 5_000), max_size=40),
    many=st.sampled_from([0, 999, 1_000, 2_500]),
    foreign=st.sampled_from([0, 1, 1_001]),
)
@settings(max_examples=25, deadline=None)
def test_the_last_object_is_found_in_few_requests(firsts: set[int], many: int, foreign: int) -> None:
    archive = FakeArchive()
    chain = Chain(archive, ThreadPoolExecutor(1), lambda: False)
    ends = sorted({first * 1_000 for first in firsts} | set(range(many)))
    for first in ends:
        put(archive, "log-1", Range(first, first + 1))
    for number in range(foreign):
        archive.put(f"topics/a.pin/partition=0/a.pin+0+{number:05}.copy", b"", {})
    put(archive, "log-1", Range(7, 9_999_999), partition=10)
    assert chain.tail(PLAIN, 0) == Coverage([Range(0, ends[-1] + 1)] if ends else [])
    assert archive.pages < 80
    assert archive.heads <= 1


FOREIGN = [
    "topics/a.pin/partition=0/",
    "topics/a.pin/partition=0/copy of a.pin+0+00000000000000000000.jsonl.gz",
    "topics/a.pin/partition=0/a.pin+0+0000000000.jsonl.gz",
    "topics/a.pin/partition=0/a.pin+0+00000000000000000003.json",
    "topics/a.pin/partition=0/backup/a.pin+0+00000000000000000000.jsonl.gz",
    "topics/a.pin/partition=x/y",
    "topics/a.pin/readme",
]


def test_objects_with_other_names_cover_nothing_and_are_not_even_asked(archive: FakeArchive, chain: Chain) -> None:
    put(archive, "log-1", Range(0, 5))
    for key in FOREIGN:
        archive.put(key, b"", {objects.LOG_ID: "log-1", objects.FIRST_OFFSET: "0", objects.NEXT_OFFSET: "99"})
    found = chain.listing(PLAIN)
    assert (found.covered, found.taken) == ({0: Coverage([Range(0, 5)])}, {0: {}})
    assert (archive.heads, found.foreign, len(found.examples)) == (1, 5, 5), (
        "folder markers and other prefixes are none"
    )
    assert chain.epoch("a.pin", "log-1") == PLAIN
    assert chain.tail(PLAIN, 0) == Coverage([Range(0, 5)])


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {objects.LOG_ID: "log-1"},
        {objects.LOG_ID: "log-1", objects.FIRST_OFFSET: "5", objects.NEXT_OFFSET: "x", objects.WRITER_ID: "w"},
        {objects.LOG_ID: "log-1", objects.FIRST_OFFSET: "5", objects.NEXT_OFFSET: "5", objects.WRITER_ID: "w"},
        {objects.LOG_ID: "log-1", objects.FIRST_OFFSET: "0", objects.NEXT_OFFSET: "9", objects.WRITER_ID: "w"},
        {objects.LOG_ID: "log-2", objects.FIRST_OFFSET: "5", objects.NEXT_OFFSET: "9", objects.WRITER_ID: "w"},
    ],
)
def test_other_bytes_under_a_name_of_ours_are_told_by_its_offset(
    archive: FakeArchive, chain: Chain, metadata: dict[str, str]
) -> None:
    put(archive, "log-1", Range(0, 5))
    key = ObjectName("a.pin", 0, 5).key
    archive.put(key, b"", metadata)
    for _ in range(2):
        found = chain.listing(PLAIN)
        assert found.covered == {0: Coverage([Range(0, 5)])}
        assert key in found.taken[0][5]
    assert chain.tail(PLAIN, 0) == Coverage([Range(0, 5)])


def test_other_bytes_in_the_first_place_do_not_move_the_log_elsewhere(archive: FakeArchive, chain: Chain) -> None:
    archive.put(ObjectName("a.pin", 0, 0).key, b"", {})
    assert chain.epoch("a.pin", "log-1") == PLAIN
    put(archive, "log-2", Range(5, 6))
    assert chain.epoch("a.pin", "log-1").prefix_log_id == "log-1"


def test_a_missing_bucket_is_no_empty_one(archive: FakeArchive, chain: Chain) -> None:
    archive.exists = False
    with pytest.raises(BucketMissingError):
        chain.epoch("a.pin", "log-1")


def test_a_stop_ends_a_long_listing(archive: FakeArchive) -> None:
    put(archive, "log-1", Range(0, 5))
    with ThreadPoolExecutor(1) as threads, pytest.raises(StoppedError):
        Chain(archive, threads, lambda: True).listing(Epoch("a.pin", "log-1", None))
