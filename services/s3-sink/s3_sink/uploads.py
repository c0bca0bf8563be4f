"""Windows on their way into objects: started here, stored on other threads, and looked after here again."""

import logging
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import NamedTuple

from s3_sink.metrics import Metrics
from s3_sink.partition import Partition
from s3_sink.ports import TopicPartition
from s3_sink.store import GivenUpError, NameTakenError, Stored, StoredByAnotherError, Storer
from s3_sink.window import Cut

logger = logging.getLogger(__name__)


class Collected(NamedTuple):
    """What the loop must know: S3 or the broker had been away; some partition is to be read from elsewhere."""

    had_been_away: bool
    reading_moves: bool


class Uploads:
    """Belongs to the loop's thread. ``executor`` bounds how many objects are written at once.

    Windows with dead letters have threads of their own, ``with_letters``: where the dead-letter topic is away, or full,
    they wait there, and nothing else waits with them.
    """

    def __init__(self, storer: Storer, executor: Executor, with_letters: Executor, metrics: Metrics) -> None:
        self._storer = storer
        self._executor = executor
        self._with_letters = with_letters
        self._metrics = metrics
        self._running: dict[Future[Stored], tuple[Partition, Cut]] = {}

    def start(self, partition: Partition, cut: Cut) -> None:
        """Store a window that was cut from a partition. Does not block."""
        executor = self._with_letters if cut.dead_letters else self._executor
        # The dead-letter topic is its own: what cannot be read of it is named in it.
        letters_to = partition.connector.dead_letters or partition.place.topic
        store = executor.submit(self._storer.store, partition.epoch, partition.place, cut, letters_to)
        self._running[store] = (partition, cut)

    def collect(self) -> Collected:
        """Note what has come of the windows by now."""
        had_been_away = reading_moves = False
        for store in [store for store in self._running if store.done()]:
            partition, cut = self._running.pop(store)
            try:
                stored = store.result()
            except GivenUpError as error:
                logger.warning("a window was given up", extra={"reason": str(error)})
            except StoredByAnotherError as error:
                logger.warning("another sink writes to this bucket", extra={"reason": str(error)})
                self._metrics.other_writers.labels(partition.place.topic).inc()
                partition.was_stored_by_another(error.covered)
                reading_moves = True
            except NameTakenError as error:
                logger.warning(
                    "a partition waits, because another program's object has the name of its next one",
                    extra={"reason": str(error)},
                )
                partition.name_is_taken(str(error))
                reading_moves = True
            else:
                partition.stored()
                self._count(partition.place.topic, cut, stored)
                had_been_away |= stored.tries > 1
        return Collected(had_been_away, reading_moves)

    def trouble(self, place: TopicPartition) -> str | None:
        """Why the window of a partition that is being stored cannot be stored now."""
        return self._storer.troubles.get(place)

    def wait(self, seconds: float) -> None:
        """Block until one is done or the time is over."""
        wait(self._running, seconds, FIRST_COMPLETED)

    @property
    def topics(self) -> frozenset[str]:
        """Topics of which an object is being stored."""
        return frozenset(partition.place.topic for partition, _ in self._running.values())

    @property
    def size_bytes(self) -> int:
        """What the windows take up in memory."""
        return sum(cut.size_bytes for _, cut in self._running.values())

    def _count(self, topic: str, cut: Cut, stored: Stored) -> None:
        self._metrics.objects.labels(topic).inc()
        self._metrics.bytes.labels(topic).inc(stored.size_bytes)
        self._metrics.records.labels(topic).inc(len(cut.lines))
        self._metrics.dead_letters.labels(topic).inc(len(cut.dead_letters))
        logger.info(
            "an object is stored",
            extra={
                "key": stored.key,
                "next_offset": cut.covered.end,
                "records": len(cut.lines),
                "dead_lettered": len(cut.dead_letters),
                "bytes": stored.size_bytes,
            },
        )
