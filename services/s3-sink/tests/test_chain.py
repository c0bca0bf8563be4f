from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pipeline_contracts import objects
from pipeline_contracts.objects import ObjectName
from s3_sink.chain import Chain, Epoch, StoppedError
from s3_sink.coverage import Coverage, Range
from s3_sink.fakes import FakeArchive
from s3_sink.ports import BucketMissingError, OtherWriterError


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
    assert chain.coverage(Epoch("a.pi", "log-1", None)) == {}


def test_coverage_is_what_metadata_say(archive: FakeArchive, chain: Chain) -> None:
    put(archive, "log-1", Range(0, 5))
    put(archive, "log-1", Range(5, 7))
    put(archive, "log-1", Range(9, 12))
    put(archive, "log-1", Range(3, 4), partition=1)
    put(archive, "log-2", Range(0, 50), prefix="log-2")
    expected = {0: Coverage([Range(0, 7), Range(9, 12)]), 1: Coverage([Range(3, 4)])}
    assert chain.coverage(Epoch("a.pin", "log-1", None)) == expected
    assert chain.coverage(Epoch("a.pin", "log-2", "log-2")) == {0: Coverage([Range(0, 50)])}


def test_metadata_are_asked_once_per_content(archive: FakeArchive, chain: Chain) -> None:
    epoch = Epoch("a.pin", "log-1", None)
    key = put(archive, "log-1", Range(0, 5))
    put(archive, "log-1", Range(5, 7))
    chain.coverage(epoch)
    chain.coverage(epoch)
    assert archive.heads == 2
    del archive.objects[key]
    put(archive, "log-1", Range(0, 3))
    assert chain.coverage(epoch) == {0: Coverage([Range(0, 3), Range(5, 7)])}
    assert archive.heads == 3


def test_more_objects_than_one_round_of_heads(archive: FakeArchive, chain: Chain) -> None:
    for first in range(600):
        put(archive, "log-1", Range(first, first + 1))
    assert chain.coverage(Epoch("a.pin", "log-1", None)) == {0: Coverage([Range(0, 600)])}


def test_objects_of_others_are_named(archive: FakeArchive, chain: Chain) -> None:
    key = ObjectName("a.pin", 0, 0).key
    archive.put(key, b"", {})
    with pytest.raises(OtherWriterError, match="has no metadata of this sink"):
        chain.epoch("a.pin", "log-1")
    with pytest.raises(OtherWriterError, match="has no metadata of this sink"):
        chain.coverage(Epoch("a.pin", "log-1", None))


@pytest.mark.parametrize("log_id", ["log-1", "log-2"])
def test_names_and_metadata_must_agree(archive: FakeArchive, chain: Chain, log_id: str) -> None:
    key = put(archive, log_id, Range(0, 5))
    if log_id == "log-1":
        archive.objects[ObjectName("a.pin", 0, 3).key] = archive.objects[key]
    with pytest.raises(OtherWriterError, match="Move the object away"):
        chain.coverage(Epoch("a.pin", "log-1", None))


def test_a_missing_bucket_is_no_empty_one(archive: FakeArchive, chain: Chain) -> None:
    archive.exists = False
    with pytest.raises(BucketMissingError):
        chain.epoch("a.pin", "log-1")


def test_a_stop_ends_a_long_listing(archive: FakeArchive) -> None:
    put(archive, "log-1", Range(0, 5))
    with ThreadPoolExecutor(1) as threads, pytest.raises(StoppedError):
        Chain(archive, threads, lambda: True).coverage(Epoch("a.pin", "log-1", None))
