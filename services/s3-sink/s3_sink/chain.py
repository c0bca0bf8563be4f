"""The chain of objects of one topic: under which prefix it lies, and what each partition's objects cover.

Objects are the truth: a sink that starts knows nothing but them.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from itertools import batched

import msgspec
from pipeline_contracts import objects

from s3_sink.coverage import Coverage, Range
from s3_sink.ports import Archive, ObjectRef, OtherWriterError, SinkError

_HEADS_AT_ONCE = 256


class StoppedError(SinkError):
    """The service is asked to stop in the middle of a long listing."""


class Epoch(msgspec.Struct, frozen=True):
    """One life of a topic. ``prefix_log_id`` is None where its objects lie under the topic's plain prefix."""

    topic: str
    log_id: str
    prefix_log_id: str | None

    def key(self, partition: int, first: int) -> str:
        """The name of the object that begins at an offset."""
        return objects.ObjectName(self.topic, partition, first, self.prefix_log_id).key

    @property
    def prefix(self) -> str:
        """What every object key of this epoch begins with, whatever the partition."""
        return objects.partition_prefix(self.topic, 0, self.prefix_log_id).removesuffix("0/")


class Metadata(msgspec.Struct, frozen=True):
    """What one of our objects says of itself."""

    log_id: str
    covered: Range
    writer_id: str


def parse_metadata(key: str, found: Mapping[str, str]) -> Metadata:
    """Read an object's metadata.

    Raises:
        OtherWriterError: it is not complete, so the object was not written by this sink.
    """
    try:
        return Metadata(
            log_id=found[objects.LOG_ID],
            covered=Range(int(found[objects.FIRST_OFFSET]), int(found[objects.NEXT_OFFSET])),
            writer_id=found[objects.WRITER_ID],
        )
    except (KeyError, ValueError) as error:
        msg = (
            f"{key} has no metadata of this sink ({error}): another program writes under this prefix. "
            "Give one of the two another bucket, or move its objects away"
        )
        raise OtherWriterError(msg) from error


class Chain:
    """Reads chains from an archive, and remembers the metadata of objects that it has seen (by key and ETag).

    ``executor`` asks for metadata in parallel; ``stopped`` is looked at between rounds.
    """

    def __init__(self, archive: Archive, executor: Executor, stopped: Callable[[], bool]) -> None:
        self._archive = archive
        self._executor = executor
        self._stopped = stopped
        self._seen: dict[ObjectRef, Metadata] = {}

    def epoch(self, topic: str, log_id: str) -> Epoch:
        """Where this log's objects lie or will lie. Blocks on S3; errors as ``Archive``.

        The plain prefix belongs to the log of its first object, or to this one while it is empty and this log has no
        objects below a prefix of its own.

        Raises:
            OtherWriterError: the first object is not this sink's.
        """
        own = Epoch(topic, log_id, log_id)
        plain = Epoch(topic, log_id, None)
        if next(iter(self._archive.list(own.prefix)), None) is not None:
            return own
        for ref in self._archive.list(plain.prefix):
            found = self._archive.metadata(ref.key)
            if found is not None:
                return plain if parse_metadata(ref.key, found).log_id == log_id else own
        return plain

    def coverage(self, epoch: Epoch) -> dict[int, Coverage]:
        """What the objects of an epoch cover, by partition. Blocks on S3; errors as ``Archive``.

        Raises:
            OtherWriterError: an object under the prefix is not this sink's, or of another log.
            StoppedError: the service stops.
        """
        coverage: dict[int, Coverage] = {}
        seen: dict[ObjectRef, Metadata] = {}
        for ref, metadata in self._objects(epoch):
            name = objects.parse_object_key(ref.key)
            if name is None or name.start_offset != metadata.covered.first or metadata.log_id != epoch.log_id:
                msg = (
                    f"{ref.key} says that it holds offsets from {metadata.covered.first} of log {metadata.log_id}; "
                    f"under this prefix lies log {epoch.log_id}, and names say the first offset. Move the object away"
                )
                raise OtherWriterError(msg)
            coverage.setdefault(name.partition, Coverage()).add(metadata.covered)
            seen[ref] = metadata
        # Objects that are gone are forgotten with the old dictionary's entries of this prefix.
        kept = {ref: found for ref, found in self._seen.items() if not ref.key.startswith(epoch.prefix)}
        self._seen = kept | seen
        return coverage

    def _objects(self, epoch: Epoch) -> Iterator[tuple[ObjectRef, Metadata]]:
        for refs in batched(self._archive.list(epoch.prefix), _HEADS_AT_ONCE, strict=False):
            if self._stopped():
                msg = "stopped while the objects were listed"
                raise StoppedError(msg)
            unknown = [ref for ref in refs if ref not in self._seen]
            found = dict(
                zip(unknown, self._executor.map(self._archive.metadata, [ref.key for ref in unknown]), strict=True)
            )
            for ref in refs:
                if ref in self._seen:
                    yield ref, self._seen[ref]
                elif (raw := found[ref]) is not None:  # else deleted since it was listed
                    yield ref, parse_metadata(ref.key, raw)
