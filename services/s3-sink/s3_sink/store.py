"""One window becomes one object: dead letters first, then a conditional put."""

import logging
from collections.abc import Callable
from itertools import count

import msgspec
from pipeline_contracts import objects
from service_kit.retries import RetryPolicy

from s3_sink.chain import Epoch, parse_metadata
from s3_sink.encoding import compress
from s3_sink.ports import (
    Archive,
    ArchiveUnavailableError,
    Log,
    LogUnavailableError,
    ObjectExistsError,
    OtherWriterError,
    SinkError,
    TopicPartition,
)
from s3_sink.window import Cut

logger = logging.getLogger(__name__)


class GivenUpError(SinkError):
    """The service stops, and what was to be stored is not (or nobody knows). It is read again at the next start."""


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

    def store(self, epoch: Epoch, place: TopicPartition, cut: Cut, dead_letter_topic: str | None) -> Stored:
        """Store one window; tries as long as the service runs, because nothing may be left out.

        Raises:
            OtherWriterError: another writer's object has this name.
            GivenUpError: the service stops.
        """
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
                    self._log.dead_letter(dead_letter_topic, cut.dead_letters)
                    dead_lettered = True
                self._put(key, body, metadata)
            except (ArchiveUnavailableError, LogUnavailableError) as error:
                wait_s = next(waits, None)
                if wait_s is None or self._given_up():
                    msg = f"{key} is not known to be stored: {error}"
                    raise GivenUpError(msg) from error
                logger.warning(
                    "an object cannot be stored now; trying again",
                    extra={"key": key, "reason": str(error), "tries": tries, "wait_s": round(wait_s, 3)},
                )
                self._wait(wait_s)
            else:
                return Stored(key, len(body), tries)
        raise AssertionError

    def _put(self, key: str, body: bytes, metadata: dict[str, str]) -> None:
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
            there = parse_metadata(key, found)
            msg = (
                f"{key} was written by {there.writer_id} (offsets {there.covered.first} up to {there.covered.end}, log "
                f"{there.log_id}); this sink, {self._writer_id}, was about to write offsets up to "
                f"{metadata[objects.NEXT_OFFSET]} of log {metadata[objects.LOG_ID]}. Two sinks must not run on one "
                "bucket"
            )
            raise OtherWriterError(msg) from None
