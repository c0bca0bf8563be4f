from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipeline_local import flow
from pipeline_local.audit.stages import LogPartition
from pipeline_local.flow import await_streamed, offsets_left
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from pipeline_local.needs import watching
from service_kit.clock import ManualClock

ROOT = Path(__file__).parents[2]
PINS = "stream/pinterest_pin_table"
PROFILES = "stream/profile_popularity"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.delenv("PIPELINE_ID", raising=False)
    return Installation(Layout(ROOT, tmp_path))


def pins(installation: Installation, *posters: str | None) -> None:
    rows = [
        {
            "ind": ind, "poster_name": poster, "log_id": "L", "partition": "s", "offset": str(ind),
            "content_hash": f"h{ind}", "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        for ind, poster in enumerate(posters)
    ]  # fmt: skip
    write_deltalake(installation.layout.lake / PINS, pa.Table.from_pylist(rows), mode="append")


def profiles(installation: Installation, **posts: int) -> None:
    rows = [{"poster_name": name, "posts": count} for name, count in posts.items()]
    write_deltalake(installation.layout.lake / PROFILES, pa.Table.from_pylist(rows), mode="overwrite")


def test_nothing_was_sent(installation: Installation) -> None:
    await_streamed(installation, 1, ManualClock())


def test_posts_must_be_counted_for_their_profiles(installation: Installation) -> None:
    """A post without a poster belongs to no profile, and a repeat is no further post."""
    pins(installation, "A", "B", None)
    pins(installation, "A")
    with pytest.raises(InstallationError, match="within 2 s; the popularity of profiles counts 0 of 2 posts"):
        await_streamed(installation, 2, ManualClock())
    profiles(installation, A=1)
    with pytest.raises(InstallationError, match="counts 1 of 2 posts"):
        await_streamed(installation, 2, ManualClock())
    profiles(installation, A=1, B=1)
    await_streamed(installation, 2, ManualClock())


def test_waiting_ends_where_what_it_waits_for_does_not_come(installation: Installation) -> None:
    pins(installation, "A")
    clock = ManualClock()
    with pytest.raises(InstallationError, match="nothing is running; start it with `pipeline up`"):
        await_streamed(installation, 600, clock, watching(installation, "stream-reader"))
    assert clock.monotonic() == 0


def log(low: int, high: int, partition: int = 0) -> LogPartition:
    return LogPartition("pinterest.pin", "L", partition, low, high)


class Kafka:
    """A log that grows by ten each time it is looked at, and then what is given."""

    def __init__(self, *later: LogPartition) -> None:
        self._later = list(later)
        self._high = 0

    def watermarks(self, _topics: list[str]) -> list[LogPartition]:
        self._high += 10
        return [log(0, self._high)] if self._high == 10 or not self._later else self._later


class Bucket:
    """Objects that reach ten offsets further each time, always ten too few."""

    def __init__(self, at_most: int = 1_000_000) -> None:
        self._at_most = at_most
        self._next = 0

    def reached(self, _logs: list[LogPartition]) -> dict[tuple[str, int], int]:
        found = {("L", 0): self._next}
        self._next = min(self._next + 10, self._at_most)
        return found


def archived(monkeypatch: pytest.MonkeyPatch, installation: Installation, kafka: Kafka, bucket: Bucket) -> float:
    """Wait for it; how many seconds that took."""
    monkeypatch.setattr(flow, "kafka_stage", lambda _: kafka)
    monkeypatch.setattr(flow, "object_reach", lambda _: bucket)
    clock = ManualClock()
    flow.await_archived(installation, 7, clock)
    return clock.monotonic()


def test_what_is_sent_while_it_waits_is_not_waited_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert archived(monkeypatch, installation, Kafka(), Bucket()) == flow.POLL_S
    with pytest.raises(InstallationError, match="within 7 s; objects cover 9 of 10 offsets"):
        archived(monkeypatch, installation, Kafka(), Bucket(at_most=9))


def test_what_goes_while_it_waits_is_not_waited_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = log(12, 40)
    made_anew = LogPartition("pinterest.pin", "another", 0, 0, 40)
    for later in (expired, made_anew):
        assert archived(monkeypatch, installation, Kafka(later), Bucket(at_most=0)) == flow.POLL_S


def test_what_lies_behind_an_open_transaction_is_not_waited_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Held(Kafka):
        def watermarks(self, _topics: list[str]) -> list[LogPartition]:
            return [replace(log(0, 40), open_from=10)]

    assert archived(monkeypatch, installation, Held(), Bucket(at_most=10)) == flow.POLL_S
    assert flow.readable(replace(log(20, 40), open_from=10)) == replace(log(20, 20), open_from=10)


def test_offsets_that_no_object_reaches_are_left() -> None:
    assert offsets_left([log(0, 10)], {}) == 10
    assert offsets_left([log(0, 10)], {("L", 0): 4}) == 6
    assert offsets_left([log(0, 10)], {("L", 0): 10}) == 0


def test_what_expired_before_it_was_archived_is_not_waited_for() -> None:
    assert offsets_left([log(5, 10)], {("L", 0): 3}) == 5
    assert offsets_left([log(5, 10)], {("L", 0): 7}) == 3


def test_a_partition_is_archived_by_its_own_objects_alone() -> None:
    logs = [log(0, 10), log(0, 10, partition=1)]
    assert offsets_left(logs, {("L", 0): 20}) == 10
    assert offsets_left(logs, {("L", 0): 10, ("older", 1): 10}) == 10


def test_objects_may_be_ahead_of_the_watermark() -> None:
    assert offsets_left([log(0, 10)], {("L", 0): 15}) == 0
