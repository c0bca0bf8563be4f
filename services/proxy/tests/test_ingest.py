"""The topic is recreated, or the broker goes away, between any two steps of one request."""

from collections.abc import Callable, Sequence

import pytest
from ingest_proxy.envelope import Record
from ingest_proxy.errors import PartitionNotFoundError, UnavailableError
from ingest_proxy.ingest import Ingest
from ingest_proxy.memory import MemoryCluster, MemorySent
from ingest_proxy.settings import ProxySettings
from ingest_proxy.topics import Reading

PIN = "pinterest.pin"


class Staged(MemoryCluster):
    """Something happens just before, or just after, records are stored. ``latest`` may be old."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    old: Reading | None = None

    def latest(self) -> Reading:
        return self.old or self.read_now()

    def send(self, topic: str, log_id: str, records: Sequence[Record], deadline: float) -> MemorySent:
        if self.before:
            self.before()
        sent = super().send(topic, log_id, records, deadline)
        if self.after:
            self.after()
        return sent


@pytest.fixture
def staged(settings: ProxySettings) -> Staged:
    return Staged(settings.names, settings.max_record_bytes)


@pytest.fixture
def ingest(staged: Staged) -> Ingest:
    return Ingest(staged, staged, send_timeout_s=5, retry_after_s=1)


def write(ingest: Ingest, records: int = 1) -> str:
    return ingest.produce(PIN, [Record(b"k", b"1")] * records, None).log_id


def test_the_id_changes_with_the_log(ingest: Ingest, staged: Staged) -> None:
    first = write(ingest)
    staged.make_anew(PIN)
    assert write(ingest) != first


@pytest.mark.parametrize("moment", ["before", "after"])
def test_made_anew_during_a_request(ingest: Ingest, staged: Staged, moment: str) -> None:
    setattr(staged, moment, lambda: staged.make_anew(PIN))
    with pytest.raises(UnavailableError, match="recreated"):
        write(ingest)


def test_an_old_reading_is_never_told_with_new_offsets(ingest: Ingest, staged: Staged) -> None:
    write(ingest, 3)
    staged.old = staged.read_now()
    staged.make_anew(PIN)
    with pytest.raises(UnavailableError, match="recreated"):
        write(ingest)
    with pytest.raises(UnavailableError, match="recreated"):
        write(ingest)


def test_away_after_the_records_were_stored_is_an_unknown_outcome(ingest: Ingest, staged: Staged) -> None:
    staged.after = lambda: setattr(staged, "away", True)
    with pytest.raises(UnavailableError):
        write(ingest)


def test_offsets_that_follow_need_no_second_reading(ingest: Ingest, staged: Staged) -> None:
    write(ingest)
    staged.old = staged.read_now()
    staged.after = lambda: setattr(staged, "away", True)
    assert write(ingest) == staged.old.topics[PIN].log_id


def test_a_topic_that_is_not_there_yet(ingest: Ingest, staged: Staged) -> None:
    staged._logs.pop(PIN)
    with pytest.raises(UnavailableError, match="no topic"):
        write(ingest)


def test_a_partition_added_since_the_last_reading(ingest: Ingest, staged: Staged) -> None:
    staged.old = staged.read_now()
    staged._logs[PIN].append([])
    assert ingest.produce(PIN, [Record(None, b"1", 3)], None).outcomes[0].partition == 3
    with pytest.raises(PartitionNotFoundError):
        ingest.produce(PIN, [Record(None, b"1", 4)], None)
