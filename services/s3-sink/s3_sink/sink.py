"""The loop: read, cut windows, store them; look after logs and objects in between.

One thread owns all state. Others compress and store windows that were cut, which nobody changes any more.
"""

import logging
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future

import msgspec
from service_kit.retries import RetryPolicy

from s3_sink.chain import Epoch, Listing
from s3_sink.health import Health
from s3_sink.metrics import Metrics
from s3_sink.partition import Partition
from s3_sink.placement import Placement
from s3_sink.ports import ArchiveUnavailableError, Log, LogUnavailableError, Reader, TopicPartition
from s3_sink.schedule import Schedule
from s3_sink.uploads import Uploads

logger = logging.getLogger(__name__)

_READ_WAIT_S = 0.1
_RECOVERY_INTERVAL_S = 1.0


class Limits(msgspec.Struct, frozen=True):
    """How long and how much. A window is cut when it is ``flush_interval_s`` old or ``window_bytes`` large."""

    flush_interval_s: float
    window_bytes: int
    total_bytes: int
    log_check_interval_s: float
    verify_interval_s: float
    stuck_after_s: float


class Sink:
    """Archives the placed partitions.

    ``pause`` blocks for some seconds or until the service stops; ``lister`` lists objects. Each partition has one
    upload at most.
    """

    def __init__(
        self,
        *,
        placement: Placement,
        log: Log,
        uploads: Uploads,
        lister: Executor,
        limits: Limits,
        retries: RetryPolicy,
        metrics: Metrics,
        health: Health,
        pause: Callable[[float], object],
    ) -> None:
        self._placement = placement
        self._log = log
        self._uploads = uploads
        self._lister = lister
        self._listing: Future[dict[Epoch, Listing]] | None = None
        self._limits = limits
        self._clock = retries.clock
        self._metrics = metrics
        self._health = health
        self._idle = pause
        self._reader: Reader | None = None
        self._paused: frozenset[TopicPartition] = frozenset()
        self._logs = Schedule(limits.log_check_interval_s, retries)
        self._objects = Schedule(limits.verify_interval_s, retries)
        self._oldest: Collection[str] = ()
        self._recovery = Schedule(_RECOVERY_INTERVAL_S, retries)

    def step(self) -> None:
        """One round. Blocks for 0.1 s when nothing comes, for some seconds when Kafka or S3 do not answer.

        Raises:
            StoppedError: the service was asked to stop during a long listing.
        """
        self._collect()
        self._look_at_logs()
        self._look_at_objects()
        self._recover()
        self._open_reader()
        self._read()
        self._flush(self._due)
        self._report()

    def drain(self, deadline_s: float) -> None:
        """Store what was read. Blocks for ``deadline_s`` at most, plus one request.

        What cannot be stored in time is read again after the next start.
        """
        end = self._clock.monotonic() + deadline_s
        self._close_reader()
        while self._clock.monotonic() < end:
            self._collect()
            self._flush(lambda _partition: True)
            if not self._uploads.topics:
                break
            self._uploads.wait(_READ_WAIT_S)
        left = [partition for partition in self._placement.partitions if partition.size_bytes]
        if left:
            logger.warning(
                "stopping with records that are not archived; they are read again at the next start",
                extra={"partitions": [f"{one.place.topic}-{one.place.partition}" for one in left]},
            )

    def _look_at_logs(self) -> None:
        if self._logs.due:
            self._ask_for_logs()

    def _ask_for_logs(self) -> frozenset[str]:
        """Which topics are certainly the logs they were; none while the broker is away."""
        if self._logs.failing:
            return frozenset()
        self._logs.begin()
        try:
            present = self._placement.look_at_logs()
        except LogUnavailableError as error:
            self._logs.failed()
            self._health.log = str(error)
            logger.warning("the broker does not answer", extra={"reason": str(error)})
            return frozenset()
        self._logs.succeeded()
        absent = self._placement.absent
        self._health.log = f"no such topic: {', '.join(sorted(absent))}" if absent else None
        return present

    def _look_at_objects(self) -> None:
        """Place what is not placed, here; list all objects on another thread: it takes long where there are many."""
        try:
            if self._placement.to_be_placed and not self._objects.failing:
                if self._placement.place_topics(self._uploads.topics):
                    self._objects.hasten()
                self._health.archive = None
            if self._listing is None and self._placement.partitions and self._objects.due:
                self._objects.begin()
                self._listing = self._lister.submit(self._placement.begin_listing())
            if self._listing is None or not self._listing.done():
                return
            listing, self._listing = self._listing, None
            self._placement.verify(listing.result())
        except ArchiveUnavailableError as error:
            self._objects.failed()
            self._health.archive = str(error)
            logger.warning("the objects cannot be listed", extra={"reason": str(error)})
        else:
            self._objects.succeeded()
            self._health.archive = None

    def _recover(self) -> None:
        """Find out why partitions make no progress, and do what can be done about it."""
        now = self._clock.monotonic()
        waiting = [one for one in self._placement.partitions if one.needs_a_look(now)]
        if not waiting or not self._recovery.due:
            return
        self._recovery.begin()
        try:
            for partition in waiting:
                self._placement.recover(partition)
        except LogUnavailableError as error:
            self._recovery.failed()
            logger.warning("the broker does not answer", extra={"reason": str(error)})
        else:
            self._recovery.succeeded()

    def _open_reader(self) -> None:
        if not self._placement.moved and self._reader is not None:
            return
        # Always a new reader: what another had fetched, of another log or from another position, cannot reach this one.
        self._close_reader()
        positions = {
            partition.place: partition.window.position
            for partition in self._placement.partitions
            if partition.problem is None and partition.held is None and not partition.window.full
        }
        self._placement.moved = False
        if positions:
            self._reader = self._log.open(positions)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._paused = frozenset()

    def _read(self) -> None:
        if self._reader is None:
            self._idle(_READ_WAIT_S)
            return
        self._pause(self._reader)
        batch = self._reader.read(_READ_WAIT_S)
        now = self._clock.monotonic()
        get = self._placement.get
        for record in batch.records:
            partition = get(record.place)
            if partition is not None:
                partition.take(record, now)
                if record.sender_time:
                    self._warn_of_sender_times(record.place.topic)
        for place, end in batch.ends.items():
            partition = get(place)
            if partition is not None:
                partition.reach(end, now)
        for place, reason in batch.failed.items():
            partition = get(place)
            if partition is not None:
                logger.warning(
                    "a partition cannot be read on",
                    extra={"topic": place.topic, "partition": place.partition, "reason": reason},
                )
                partition.reading_failed(reason, now)
        for place, unreadable in batch.unreadable.items():
            partition = get(place)
            if partition is not None:
                partition.cannot_read(unreadable, now)

    def _warn_of_sender_times(self, topic: str) -> None:
        if topic not in self._health.sender_times:
            self._health.sender_times |= {topic}
            logger.warning(
                "a topic's timestamps are set by its senders: versions of a post are ordered by their clocks; "
                "set message.timestamp.type=LogAppendTime",
                extra={"topic": topic},
            )

    def _pause(self, reader: Reader) -> None:
        """Bounded memory: a partition whose window is full waits for its store, and all wait at the total limit."""
        over = self._buffered() >= self._limits.total_bytes
        paused = frozenset(
            partition.place
            for partition in self._placement.partitions
            if over or partition.window.full or partition.window.size_bytes >= self._limits.window_bytes
        )
        if paused != self._paused:
            reader.pause(sorted(paused - self._paused))
            reader.resume(sorted(self._paused - paused))
            self._paused = paused

    def _due(self, partition: Partition) -> bool:
        return (
            partition.window.full
            or partition.window.size_bytes >= self._limits.window_bytes
            or partition.window_age(self._clock.monotonic()) >= self._limits.flush_interval_s
            or self._buffered() >= self._limits.total_bytes
        )

    def _flush(self, due: Callable[[Partition], bool]) -> None:
        def ready() -> list[Partition]:
            waiting = [one for one in self._placement.partitions if one.in_flight is None and not one.window.empty]
            return [one for one in waiting if one.held is None and due(one)]

        if not ready():
            return
        certain = self._ask_for_logs()
        for partition in ready():
            if partition.place.topic in certain:
                cut, jumps = partition.cut(self._clock.monotonic())
                self._placement.moved |= jumps
                self._uploads.start(partition, cut)

    def _collect(self) -> None:
        collected = self._uploads.collect()
        if collected.had_been_away:
            self._objects.hasten()  # the bucket may be another one now
        self._placement.moved |= collected.reading_moves

    def _buffered(self) -> int:
        return sum(one.window.size_bytes for one in self._placement.partitions) + self._uploads.size_bytes

    def _report(self) -> None:
        now = self._clock.monotonic()
        self._metrics.buffered.set(self._buffered())
        now_ms = self._clock.now().timestamp() * 1_000
        oldest = dict.fromkeys(self._oldest, 0.0)
        stuck = held = None
        count = 0
        for partition in self._placement.partitions:
            count += 1
            end = self._reader.end(partition.place) if self._reader is not None else None
            if end is not None:
                partition.saw_end(end, now)
            if partition.log_end is not None:
                lag = max(0, partition.log_end - partition.archived)
                self._metrics.lag.labels(partition.place.topic, partition.place.partition).set(lag)
            age = partition.age_of_oldest(now, now_ms)
            oldest[partition.place.topic] = max(age, oldest.get(partition.place.topic, 0.0))
            name = f"{partition.place.topic}-{partition.place.partition}"
            stuck_s = partition.stuck_for(now)
            if partition.held is not None:
                held = f"{name} waits: {partition.held}"
            elif stuck_s > self._limits.stuck_after_s:
                reason = partition.problem or partition.waiting or self._uploads.trouble(partition.place)
                stuck = f"{name} stands still for {stuck_s:.0f} s: {reason or 'records wait to be read or stored'}"
        for topic, age in oldest.items():
            self._metrics.oldest.labels(topic).set(age)
        self._oldest = oldest.keys()
        self._health.stuck = held or stuck
        self._health.partitions = count
        self._health.last_round = now
