"""One window becomes one object: dead letters first, then a conditional put."""

import logging
from collections.abc import Callable
from itertools import count

import msgspec
from pipeline_contracts import dead_letters, objects
from service_kit.retries import RetryPolicy

from s3_sink.chain import Epoch, own_metadata
from s3_sink.coverage import Range
from s3_sink.encoding import compress, cut_letter
from s3_sink.ports import (
    Archive,
    ArchiveUnavailableError,
    DeadLetter,
    ForeignObjectError,
    LettersTooLargeError,
    Log,
    LogUnavailableError,
    ObjectExistsError,
    SinkError,
    TopicPartition,
)
from s3_sink.window import Cut

logger = logging.getLogger(__name__)


class GivenUpError(SinkError):
    """The service stops, and what was to be stored is not (or nobody knows). It is read again at the next start."""


class NameTakenError(SinkError):
    """Another program's object has the name that must be written; the message names it and says what to do."""


class StoredByAnotherError(SinkError):
    """Another sink has stored an object of the same log under this name. ``covered`` is what it holds."""

    def __init__(self, message: str, covered: Range) -> None:
        super().__init__(message)
        self.covered = covered


class Stored(msgspec.Struct, frozen=True):
    """What became of a window. ``tries`` over 1 means that S3 or the broker had been away."""

    key: str
    size_bytes: int
    tries: int


class Storer:
    """Stores windows; thread-safe. ``writer_id`` tells this process's objects from those of any other.

    ``retries`` says how long to wait between tries, ``wait`` does and returns early when the service stops;
    ``given_up`` ends the tries.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        log: Log,
        writer_id: str,
        retries: RetryPolicy,
        wait: Callable[[float], object],
        given_up: Callable[[], bool],
    ) -> None:
        self._archive = archive
        self._log = log
        self._writer_id = writer_id
        self._retries = retries
        self._wait = wait
        self._given_up = given_up
        self.troubles: dict[TopicPartition, str] = {}
        """Why the window of a partition cannot be stored now; whole values are replaced, so no lock is needed."""

    def store(self, epoch: Epoch, place: TopicPartition, cut: Cut, dead_letter_topic: str | None) -> Stored:
        """Store one window; tries as long as the service runs, because nothing may be left out.

        Raises:
            NameTakenError, StoredByAnotherError: another object has this name; nothing was stored.
            GivenUpError: the service stops.
        """
        self.troubles.pop(place, None)
        key = epoch.key(place.partition, cut.covered.first)
        body = compress(cut.lines)
        metadata = {
            objects.LOG_ID: epoch.log_id,
            objects.FIRST_OFFSET: str(cut.covered.first),
            objects.NEXT_OFFSET: str(cut.covered.end),
            objects.RECORDS: str(len(cut.lines)),
            objects.DEAD_LETTERED: str(len(cut.dead_letters)),
            objects.WRITER_ID: self._writer_id,
        }
        dead_lettered = not cut.dead_letters
        waits = self._retries.waits()
        for tries in count(1):
            try:
                if not dead_lettered and dead_letter_topic is not None:
                    # Before the object, whose metadata says that these offsets are done with: after a crash in
                    # between they are dead-lettered again, and readers take each origin once.
                    self._dead_letter(dead_letter_topic, cut.dead_letters)
                    dead_lettered = True
                self._put(epoch, cut.covered.first, key, body, metadata)
            except (ArchiveUnavailableError, LogUnavailableError) as error:
                wait_s = next(waits, None)
                if wait_s is None or self._given_up():
                    msg = f"{key} is not known to be stored: {error}"
                    raise GivenUpError(msg) from error
                logger.warning(
                    "an object cannot be stored now; retrying",
                    extra={"key": key, "reason": str(error), "tries": tries, "wait_s": round(wait_s, 3)},
                )
                self.troubles[place] = str(error)
                self._wait(wait_s)
            else:
                self.troubles.pop(place, None)
                return Stored(key, len(body), tries)
        raise AssertionError

    def _dead_letter(self, topic: str, letters: list[DeadLetter]) -> None:
        """Store them, truncated if they are too large for the topic."""
        for kept_bytes in dead_letters.KEPT_BYTES:
            try:
                self._log.dead_letter(topic, letters)
            except LettersTooLargeError as error:
                logger.warning(
                    "dead letters are truncated, since they are too large for the topic",
                    extra={"topic": topic, "letters": len(error.numbers), "kept_bytes": kept_bytes},
                )
                # Those that it took are not sent again.
                letters = [cut_letter(letters[number], kept_bytes) for number in sorted(error.numbers)]
            else:
                return
        try:
            self._log.dead_letter(topic, letters)
        except LettersTooLargeError as error:
            msg = f"{error}, even without their bytes: its max.message.bytes is too small"
            raise LogUnavailableError(msg) from error

    def _put(self, epoch: Epoch, first: int, key: str, body: bytes, metadata: dict[str, str]) -> None:
        try:
            self._archive.put(key, body, metadata)
        except ObjectExistsError:
            found = self._archive.metadata(key)
            if found is None:
                msg = f"{key} existed and is gone again"
                raise ArchiveUnavailableError(msg) from None
            if dict(found) == metadata:
                logger.info("an earlier put whose answer was lost had stored the object", extra={"key": key})
                return
            try:
                there = own_metadata(epoch, first, key, found)
            except ForeignObjectError as error:
                msg = f"{error}. Move or delete that object; until then this partition waits, and no other"
                raise NameTakenError(msg) from None
            msg = (
                f"{key} was written by {there.writer_id} (offsets {there.covered.first} up to {there.covered.end}); "
                f"this sink, {self._writer_id}, was about to write offsets up to {metadata[objects.NEXT_OFFSET]}. "
                "Two sinks write to one bucket: nothing is lost, but stop one of them"
            )
            raise StoredByAnotherError(msg, there.covered) from None
