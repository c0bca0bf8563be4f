import pytest
from pipeline_contracts import objects
from s3_sink.chain import Epoch
from s3_sink.coverage import Range
from s3_sink.fakes import FakeArchive, FakeLog
from s3_sink.ports import DeadLetter, TopicPartition
from s3_sink.store import GivenUpError, NameTakenError, Stored, StoredByAnotherError, Storer
from s3_sink.window import Cut
from service_kit.clock import ManualClock
from service_kit.retries import RetryPolicy

EPOCH = Epoch("a.pin", "log-1", None)
PLACE = TopicPartition("a.pin", 1)
CUT = Cut(Range(5, 9), [b"{}\n"], [DeadLetter(None, b"x", ())], 100)


class World:
    def __init__(self, writer_id: str = "one", archive: FakeArchive | None = None) -> None:
        self.archive = archive or FakeArchive()
        self.log = FakeLog()
        self.log.create("a.dlq", "dlq-1")
        self.waits = 0
        self.heals_after = 3
        self.storer = Storer(
            archive=self.archive,
            log=self.log,
            writer_id=writer_id,
            retries=RetryPolicy(float("inf"), clock=ManualClock()),
            wait=self.wait,
            given_up=lambda: self.waits > 20,
        )

    def wait(self, seconds: float) -> None:
        assert 0 <= seconds <= 5
        self.waits += 1
        if self.waits == self.heals_after:
            self.archive.available = self.archive.exists = self.log.available = True

    def store(self, cut: Cut = CUT) -> Stored:
        return self.storer.store(EPOCH, PLACE, cut, "a.dlq")


def test_an_object_says_what_it_covers() -> None:
    world = World()
    stored = world.store()
    assert stored.key == "topics/a.pin/partition=1/a.pin+1+00000000000000000005.jsonl.gz"
    assert world.archive.objects[stored.key][1] == {
        objects.LOG_ID: "log-1",
        objects.FIRST_OFFSET: "5",
        objects.NEXT_OFFSET: "9",
        objects.RECORDS: "1",
        objects.DEAD_LETTERED: "1",
        objects.WRITER_ID: "one",
    }
    assert world.log.dead_letters["a.dlq"] == CUT.dead_letters


@pytest.mark.parametrize("outage", ["s3", "bucket", "kafka"])
def test_an_outage_is_waited_for(outage: str) -> None:
    world = World()
    world.archive.available = outage != "s3"
    world.archive.exists = outage != "bucket"
    world.log.available = outage != "kafka"
    assert world.store().tries == 4
    assert len(world.archive.objects) == 1
    assert len(world.log.dead_letters["a.dlq"]) == 1


def test_dead_letters_come_before_the_object() -> None:
    world = World()
    world.log.available = False
    world.heals_after = 0
    with pytest.raises(GivenUpError):
        world.store()
    assert world.archive.objects == {}


def test_a_put_whose_answer_was_lost_is_recognised() -> None:
    world = World()
    world.archive.loses_answers = 1
    assert world.store().tries == 2
    assert len(world.archive.objects) == 1


def test_another_sinks_object_is_left_alone_and_counts() -> None:
    first = World("one")
    first.store()
    before = dict(first.archive.objects)
    with pytest.raises(StoredByAnotherError, match=r"written by one \(offsets 5 up to 9\); this sink, two") as caught:
        World("two", first.archive).store()
    assert caught.value.covered == Range(5, 9)
    assert first.archive.objects == before


def test_the_same_writer_with_another_range_is_no_repetition() -> None:
    world = World()
    world.store()
    with pytest.raises(StoredByAnotherError):
        world.store(Cut(Range(5, 8), [], [], 0))


@pytest.mark.parametrize(
    "metadata", [{}, {"log-id": "log-2", "first-offset": "5", "next-offset": "9", "writer-id": "w"}]
)
def test_other_bytes_under_the_name_are_named(metadata: dict[str, str]) -> None:
    world = World()
    key = EPOCH.key(1, 5)
    world.archive.put(key, b"", metadata)
    with pytest.raises(NameTakenError, match=r"a\.pin\+1\+0+5\.jsonl\.gz .*Move or delete that object"):
        world.store()


@pytest.mark.parametrize(("largest", "kept"), [(90_000, 65_536), (10_000, 4_096), (600, 0)])
def test_a_letter_that_is_too_large_is_cut_to_what_the_topic_takes(largest: int, kept: int) -> None:
    world = World()
    world.log.largest_letter = largest
    small, large = DeadLetter(b"k", b"small", ()), DeadLetter(b"k", b"v" * 100_000, ())
    world.store(Cut(Range(5, 9), [], [small, large], 0))
    assert world.log.dead_letters["a.dlq"][0] == small
    assert world.log.dead_letters["a.dlq"][1].value == b"v" * kept
    assert [one.key for one in world.log.dead_letters["a.dlq"][1].origin][:1] == ["pipeline.cut-value"]
    assert len(world.log.dead_letters["a.dlq"]) == 2


def test_a_topic_that_takes_no_letter_at_all_is_waited_for() -> None:
    world = World()
    world.log.largest_letter = 0
    with pytest.raises(GivenUpError, match=r"max\.message\.bytes is too small"):
        world.store()
    assert "max.message.bytes" in world.storer.troubles[PLACE]
    assert world.archive.objects == {}
