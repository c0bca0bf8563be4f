"""How old the first record is that no object holds: exact once it was read, never more than the truth, 0 at rest."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from s3_sink.chain import Epoch
from s3_sink.connector import Connector
from s3_sink.coverage import Coverage
from s3_sink.partition import Partition
from s3_sink.ports import Record, TopicPartition

PLACE = TopicPartition("a.pin", 0)
CONNECTOR = Connector("a-s3-sink", "json", ("a.pin",), "a-raw", "a.dlq")
DAY_MS = 86_400_000


class World:
    """A log and the objects of one partition; ``monotonic`` and the wall clock go alike."""

    def __init__(self, *, sender_times: bool = False) -> None:
        self.now = 0.0
        self.sender_times = sender_times
        self.appended_ms: list[float] = []
        self.objects = Coverage()
        self.start()

    @property
    def now_ms(self) -> float:
        return 20_000 * DAY_MS + self.now * 1_000

    @property
    def oldest(self) -> int | None:
        """The first record that no object holds."""
        first = self.objects.first_hole().first
        return first if first < len(self.appended_ms) else None

    @property
    def true_age(self) -> float:
        return 0.0 if self.oldest is None else (self.now_ms - self.appended_ms[self.oldest]) / 1_000

    @property
    def was_read(self) -> bool:
        partition, oldest = self.partition, self.oldest
        cut = partition.in_flight
        in_window = oldest is not None and partition.window.hole.first <= oldest < partition.window.position
        return in_window or (cut is not None and oldest is not None and cut.covered.first <= oldest < cut.covered.end)

    def age(self) -> float:
        self.partition.saw_end(len(self.appended_ms), self.now)
        return self.partition.age_of_oldest(self.now, self.now_ms)

    def start(self) -> None:
        self.partition = Partition(CONNECTOR, Epoch("a.pin", "L", None), PLACE, Coverage(self.objects))

    def wait(self, seconds: int) -> None:
        self.now += seconds

    def append(self, count: int) -> None:
        self.appended_ms += [self.now_ms] * count

    def read(self, count: int) -> None:
        for _ in range(count):
            window = self.partition.window
            if self.partition.held is None and not window.full and window.position < len(self.appended_ms):
                at = int(self.appended_ms[window.position])
                record = Record(PLACE, window.position, None, b"1", at, sender_time=self.sender_times)
                self.partition.take(record, self.now)

    def cut(self, _: int) -> None:
        if self.partition.in_flight is None and not self.partition.window.empty:
            self.partition.cut(self.now)

    def store(self, _: int) -> None:
        if self.partition.in_flight is not None:
            self.objects.add(self.partition.in_flight.covered)
            self.partition.stored()

    def take_name(self, _: int) -> None:
        self.partition.name_is_taken("somebody else's")

    def lose(self, count: int) -> None:
        """All objects but the first few are gone, which a listing finds; names are free again."""
        self.objects = Coverage(list(self.objects)[: count - 1])
        self.partition.listing_begins()
        self.partition.verify(Coverage(self.objects), {})

    def restart(self, _: int) -> None:
        self.start()


ACTIONS = ["wait", "wait", "append", "append", "read", "read", "cut", "store", "take_name", "lose", "restart"]


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 4)), max_size=40))
@example([("append", 1), ("wait", 2), ("read", 1), ("cut", 1), ("wait", 2)])
@settings(max_examples=300, deadline=None)
def test_any_history(history: list[tuple[str, int]]) -> None:
    world = World()
    before: tuple[int | None, float, float] = (None, 0.0, 0.0)
    since_looked: list[tuple[str, int]] = []
    for action, number in history:
        since_looked.append((action, number))
        getattr(world, action)(number)
        if number == 1:
            continue  # one round of the sink may read, cut and store before it looks
        age = world.age()
        assert age <= world.true_age + 0.001
        if world.was_read:
            assert abs(age - world.true_age) < 0.001
        if {"restart", "lose"} & {one for one, _ in since_looked}:
            before = (None, 0.0, 0.0)
        if world.oldest is not None and world.oldest == before[0]:
            assert age >= before[1] + world.now - before[2] - 0.001, "it fell while the same record waited"
        before = (world.oldest, age, world.now)
        since_looked.clear()


def test_a_record_that_is_not_read_is_as_old_as_this_process_knows() -> None:
    world = World()
    world.append(1)
    world.wait(100)
    assert world.age() == 0
    world.wait(5)
    assert world.age() == 5
    world.read(1)
    assert world.age() == 105


def test_an_object_that_is_lost_while_a_later_one_is_stored_is_what_waits() -> None:
    world = World()
    for count in (2, 1):
        world.append(count)
        world.read(count)
        world.cut(0)
        if count == 2:
            world.store(0)
    world.lose(1)
    assert world.partition.archived == 0


def test_a_senders_clock_is_not_asked() -> None:
    world = World(sender_times=True)
    world.appended_ms.append(0)
    world.read(1)
    assert world.age() == 0
    world.wait(7)
    assert world.age() == 7
