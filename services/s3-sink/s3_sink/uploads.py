"""Windows on their way into objects: started here, stored on other threads, and looked after here again."""

import logging
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from s3_sink.metrics import Metrics
from s3_sink.partition import Partition
from s3_sink.store import GivenUpError, Stored, Storer
from s3_sink.window import Cut

logger = logging.getLogger(__name__)


class Uploads:
    """Belongs to the loop's thread. ``executor`` bounds how many objects are written at once."""

    def __init__(self, storer: Storer, executor: Executor, metrics: Metrics) -> None:
        self._storer = storer
        self._executor = executor
        self._metrics = metrics
        self._running: dict[Future[Stored], tuple[Partition, Cut]] = {}

    def start(self, partition: Partition, cut: Cut) -> None:
        """Store a window that was cut from a partition. Does not block."""
        store = self._executor.submit(
            self._storer.store, partition.epoch, partition.place, cut, partition.connector.dead_letters
        )
        self._running[store] = (partition, cut)

    def collect(self) -> bool:
        """Note what is stored by now. Returns whether S3 or the broker had been away meanwhile.

        Raises:
            OtherWriterError: a window met another writer's object.
        """
        had_been_away = False
        for store in [store for store in self._running if store.done()]:
            partition, cut = self._running.pop(store)
            try:
                stored = store.result()
            except GivenUpError as error:
                logger.warning("a window was given up", extra={"reason": str(error)})
                continue
            partition.stored()
            self._count(partition.place.topic, cut, stored)
            had_been_away |= stored.tries > 1
        return had_been_away

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
