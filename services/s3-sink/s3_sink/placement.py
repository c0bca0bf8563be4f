"""Which logs the topics are now, and where in each partition to go on. All of it found in Kafka and in the objects."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from service_kit.clock import Clock

from s3_sink.chain import Chain, Epoch, Listing
from s3_sink.connector import Connector
from s3_sink.coverage import Coverage, Range
from s3_sink.metrics import Metrics
from s3_sink.partition import Partition
from s3_sink.ports import Log, LogUnavailableError, TopicPartition, TopicState

logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 60.0
"""After the end of a batch that cannot be read was looked for in vain, which takes seconds."""


class Placement:
    """The partitions of all connectors' topics. ``moved`` is set when a reader must be opened anew."""

    def __init__(self, connectors: Sequence[Connector], log: Log, chain: Chain, clock: Clock, metrics: Metrics) -> None:
        self._connectors = {topic: connector for connector in connectors for topic in connector.topics}
        self._log = log
        self._chain = chain
        self._clock = clock
        self._metrics = metrics
        self._states: dict[str, TopicState] = {}
        self._epochs: dict[str, Epoch] = {}
        self._partitions: dict[TopicPartition, Partition] = {}
        self._listed: list[Partition] = []
        self._foreign: dict[str, int] = {}
        self._look_again: dict[TopicPartition, float] = {}
        self.absent: frozenset[str] = frozenset(self._connectors)
        self.moved = False

    @property
    def partitions(self) -> Collection[Partition]:
        """The partitions that are known and placed."""
        return self._partitions.values()

    @property
    def to_be_placed(self) -> list[str]:
        """Topics that are known, and whose objects have not been read yet."""
        return [topic for topic in self._states if topic not in self._epochs]

    def get(self, place: TopicPartition) -> Partition | None:
        """One partition, None where it is not placed (any more)."""
        return self._partitions.get(place)

    def look_at_logs(self) -> frozenset[str]:
        """Ask the broker which logs the topics are, and give up what belongs to a log that is no more.

        Returns the topics that are there. **Everything read of them before this call is of the log they had when they
        were placed**: a topic's id is never used twice, so if it is the same before and after, it was in between.

        Raises:
            LogUnavailableError: nothing is known, and nothing was changed.
        """
        found = self._log.describe(self._connectors)
        for topic, state in found.items():
            before = self._states.get(topic)
            if before is not None and before.log_id != state.log_id:
                self._leave(topic, before, state)
            elif before is not None and before.partitions != state.partitions:
                logger.info("a topic has more partitions", extra={"topic": topic, "partitions": state.partitions})
                self._epochs.pop(topic, None)  # to be placed again; partitions that are there stay
            self._states[topic] = state
        self.absent = frozenset(self._connectors.keys() - found.keys())
        return frozenset(found)

    def place_topics(self, busy: Collection[str]) -> bool:
        """Place the partitions of every topic that is known and not placed behind their last objects. Blocks on S3.

        Objects that are missing before those are found by the next listing. ``busy`` topics wait: an object of their
        former log is still being stored, and where the new log's objects go depends on it. Says whether any was placed.

        Raises:
            ArchiveUnavailableError: see ``Chain``.
        """
        placed = False
        for topic in self.to_be_placed:
            if topic in busy:
                continue
            state = self._states[topic]
            epoch = self._chain.epoch(topic, state.log_id)
            self._place(epoch, state)
            self._epochs[topic] = epoch
            placed = True
        return placed

    def begin_listing(self) -> Callable[[], dict[Epoch, Listing]]:
        """Have all objects listed, by what this returns: to be called on any one thread; it blocks on S3, for long.

        Its result goes to ``verify``. It raises what ``Chain.listing`` does.
        """
        self._listed = list(self._partitions.values())
        for partition in self._listed:
            partition.listing_begins()
        epochs = list(self._epochs.values())
        return lambda: {epoch: self._chain.listing(epoch) for epoch in epochs}

    def verify(self, found: Mapping[Epoch, Listing]) -> None:
        """Go back where objects are missing, and hold what has no room for its next object."""
        for epoch, listing in found.items():
            self._report_foreign(epoch.topic, listing)
        for partition in self._listed:
            now_listed = found.get(partition.epoch)
            if now_listed is None or self.get(partition.place) is not partition:
                continue
            number, held = partition.place.partition, partition.held
            before = partition.verify(now_listed.covered.get(number, Coverage()), now_listed.taken.get(number, {}))
            if before is not None:
                self._metrics.replaced.labels(partition.place.topic).inc()
                logger.warning(
                    "the objects of a partition have changed; resuming from their first hole",
                    extra={**_fields(partition), "worked_at": before.first},
                )
            if partition.held != held:
                logger.warning(
                    "what a partition waits for has changed", extra={**_fields(partition), "reason": partition.held}
                )
            self.moved |= before is not None or partition.held != held

    def _report_foreign(self, topic: str, listing: Listing) -> None:
        taken = [reason for names in listing.taken.values() for reason in names.values()]
        count = listing.foreign + len(taken)
        self._metrics.foreign.labels(topic).set(count)
        if count > self._foreign.get(topic, 0):
            logger.warning(
                "the bucket has objects that no sink wrote; they cover no offsets here, and ingest reads them as "
                "another installation's",
                extra={"topic": topic, "objects": count, "examples": [*taken[:5], *listing.examples]},
            )
        self._foreign[topic] = count

    def recover(self, partition: Partition) -> None:
        """Find out why a partition makes no progress, and do what can be done about it.

        Raises:
            LogUnavailableError: nothing is known.
        """
        self.look_at_logs()
        if self.get(partition.place) is not partition:
            return  # a new log, or more partitions: it was placed anew
        low, high, stable = self._log.watermarks(partition.place)
        now = self._clock.monotonic()
        partition.log_end = high
        position = partition.window.position
        if partition.held is not None:
            return  # until a listing finds room for its next object
        if partition.problem is None:
            if stable <= position < high:
                partition.waiting = (
                    f"a transaction of another program, begun at offset {stable}, has not ended, and records after "
                    "it cannot be read; it ends by itself after its own timeout, or by kafka-transactions.sh abort"
                )
            return
        for lost in partition.expire(low):
            self._metrics.expired.labels(partition.place.topic).inc(lost.end - lost.first)
            logger.error(
                "records expired before they were archived: they are lost",
                extra={**_fields(partition), "first": lost.first, "last": lost.end - 1, "low_watermark": low},
            )
        self._pass_over(partition, high, now)
        position = partition.window.position
        if position > high:
            # Records that were archived are not in the log any more. Going on would give their offsets to others.
            problem = f"the log ends at {high}, before position {position}: it was cut short"
            if partition.problem != problem:
                logger.error("a log ends before the position", extra={**_fields(partition), "high_watermark": high})
            partition.reading_failed(problem, now)
        else:
            partition.reading_resumes(nothing_left=position == high)
            self.moved = True

    def _pass_over(self, partition: Partition, high: int, now: float) -> None:
        """Go on behind a batch that nobody can read. An end that is not found is looked for again a minute later."""
        found, place = partition.unreadable, partition.place
        if found is None or partition.window.position >= high or now < self._look_again.get(place, now):
            return
        try:
            batch = Range(found.first, self._log.behind(place, found, high))
        except LogUnavailableError as error:
            self._look_again[place] = now + _LOOK_AGAIN_S
            logger.warning(
                "a batch cannot be read, nor its end be found", extra={**_fields(partition), "why": str(error)}
            )
            return
        lost = partition.pass_over(batch, now)
        if lost is not None:
            self._metrics.unreadable.labels(place.topic).inc(lost.end - lost.first)
            logger.error(
                "a batch cannot be read: a dead letter names its offsets, and its records are given up",
                extra={**_fields(partition), "first": lost.first, "last": lost.end - 1, "reason": found.reason},
            )

    def _place(self, epoch: Epoch, state: TopicState) -> None:
        connector = self._connectors[epoch.topic]
        for number in range(state.partitions):
            place = TopicPartition(epoch.topic, number)
            if place not in self._partitions:
                partition = Partition(connector, epoch, place, self._chain.tail(epoch, number))
                self._partitions[place] = partition
                logger.info("a partition is placed", extra=_fields(partition))
        self.moved = True

    def _leave(self, topic: str, before: TopicState, state: TopicState) -> None:
        self._metrics.epoch_changes.labels(topic).inc()
        logger.warning(
            "a topic was recreated: a new log begins",
            extra={"topic": topic, "old_log_id": before.log_id, "log_id": state.log_id},
        )
        for place in [place for place in self._partitions if place.topic == topic]:
            partition = self._partitions.pop(place)
            if not partition.window.empty:
                # Nobody can say any more which of the two logs it came from. The client reads on in the new one
                # silently; if it was of the old one, it is gone with that.
                logger.error(
                    "what was read and not archived when a log ended is given up",
                    extra={**_fields(partition), "up_to": partition.window.position},
                )
        self._epochs.pop(topic, None)
        self.moved = True


def _fields(partition: Partition) -> dict[str, object]:
    return {
        "topic": partition.place.topic,
        "partition": partition.place.partition,
        "log_id": partition.epoch.log_id,
        "position": partition.window.hole.first,
        "up_to_object_at": partition.window.hole.end,
    }
