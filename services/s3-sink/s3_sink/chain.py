"""The chain of objects of one topic: under which prefix it lies, and what each partition's objects cover.

Objects are the truth: a sink that starts knows nothing but them. What others have put under a prefix covers nothing.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from itertools import islice

import msgspec
from pipeline_contracts import objects
from pipeline_contracts.objects import MAX_OFFSET, ObjectName, integer

from s3_sink.coverage import Coverage, Range
from s3_sink.ports import PAGE, Archive, ForeignObjectError, ObjectRef, SinkError

_SUFFIX = ".jsonl.gz"
_BLOCK = 256
_LARGEST_BLOCK = 4_096
_NAMED = 5


class StoppedError(SinkError):
    """The service is asked to stop in the middle of a long listing."""


class Epoch(msgspec.Struct, frozen=True):
    """One life of a topic. ``prefix_log_id`` is None where its objects lie under the topic's plain prefix."""

    topic: str
    log_id: str
    prefix_log_id: str | None

    def key(self, partition: int, first: int) -> str:
        """The name of the object that begins at an offset."""
        return ObjectName(self.topic, partition, first, self.prefix_log_id).key

    def partition_prefix(self, partition: int) -> str:
        """What the key of every object of a partition begins with."""
        return objects.partition_prefix(self.topic, partition, self.prefix_log_id)

    @property
    def prefix(self) -> str:
        """What every object key of this epoch begins with, whatever the partition."""
        return self.partition_prefix(0).removesuffix("0/")

    def own_name(self, key: str) -> ObjectName | None:
        """The parts of a name that this sink would write; None for any other."""
        name = objects.parse_object_key(key)
        return name if name is not None and self.key(name.partition, name.start_offset) == key else None


class Metadata(msgspec.Struct, frozen=True):
    """What one of our objects says of itself."""

    log_id: str
    covered: Range
    writer_id: str


class Listing(msgspec.Struct):
    """What a listing found, by partition: covered offsets, and names of this sink's that other bytes have.

    ``taken`` gives the reason by the offset that the name begins at. ``foreign`` counts objects whose names no sink
    writes, ``examples`` are some of them.
    """

    covered: dict[int, Coverage] = msgspec.field(default_factory=dict)
    taken: dict[int, dict[int, str]] = msgspec.field(default_factory=dict)
    foreign: int = 0
    examples: list[str] = msgspec.field(default_factory=list)


class _Block(msgspec.Struct, frozen=True):
    """What a run of neighbouring objects of one partition covers, once each of them was asked."""

    covered: tuple[Range, ...]
    taken: tuple[tuple[int, str], ...]


def parse_metadata(key: str, found: Mapping[str, str]) -> Metadata:
    """Read an object's metadata.

    Raises:
        ForeignObjectError: it is not complete, so the object was not written by this sink.
    """
    first = integer(found.get(objects.FIRST_OFFSET, ""), MAX_OFFSET)
    end = integer(found.get(objects.NEXT_OFFSET, ""), MAX_OFFSET)
    log_id, writer_id = found.get(objects.LOG_ID), found.get(objects.WRITER_ID)
    if first is None or end is None or first >= end or not log_id or not writer_id:
        msg = f"{key} was not written by this sink: its metadata do not say which offsets of which log it holds"
        raise ForeignObjectError(msg)
    return Metadata(log_id, Range(first, end), writer_id)


def own_metadata(epoch: Epoch, first: int, key: str, found: Mapping[str, str]) -> Metadata:
    """The metadata of an object with one of our names, whose log and first offset must be those of the name.

    Raises:
        ForeignObjectError: they are not, or ``parse_metadata`` says so.
    """
    metadata = parse_metadata(key, found)
    if metadata.covered.first != first or metadata.log_id != epoch.log_id:
        msg = (
            f"{key} says that it holds offsets from {metadata.covered.first} of log {metadata.log_id}, "
            f"where those from {first} of log {epoch.log_id} belong"
        )
        raise ForeignObjectError(msg)
    return metadata


class Chain:
    """Reads chains from an archive. ``executor`` asks for metadata in parallel; ``stopped`` is looked at in between.

    ``listing`` remembers what runs of objects cover, by a hash of their keys and ETags, so that each object is asked
    for its metadata once; in memory that is less than a byte for each object. One thread at a time may call it.
    """

    def __init__(self, archive: Archive, executor: Executor, stopped: Callable[[], bool]) -> None:
        self._archive = archive
        self._executor = executor
        self._stopped = stopped
        self._blocks: dict[str, dict[bytes, _Block]] = {}
        self._loose: dict[str, dict[ObjectRef, Metadata | str]] = {}

    def epoch(self, topic: str, log_id: str) -> Epoch:
        """Where this log's objects lie or will lie. Blocks on S3; errors as ``Archive``.

        The plain prefix belongs to the log of its first object, or to this one while it is empty and this log has no
        objects below a prefix of its own.
        """
        own = Epoch(topic, log_id, log_id)
        plain = Epoch(topic, log_id, None)
        if any(own.own_name(ref.key) for ref in self._archive.list(own.prefix)):
            return own
        for ref in self._archive.list(plain.prefix):
            found = self._archive.metadata(ref.key) if plain.own_name(ref.key) else None
            if found is not None:
                try:
                    return plain if parse_metadata(ref.key, found).log_id == log_id else own
                except ForeignObjectError:
                    continue
        return plain

    def tail(self, epoch: Epoch, partition: int) -> Coverage:
        """What a partition's objects cover if none is missing: all offsets up to the end of the last one.

        Takes some requests, however many objects there are, since their names sort like offsets. Blocks on S3; errors
        as ``Archive``.
        """
        page = self._last_page(epoch, partition)
        for ref in reversed(page):
            name, found = epoch.own_name(ref.key), self._archive.metadata(ref.key)
            try:
                if name is not None and found is not None:
                    metadata = own_metadata(epoch, name.start_offset, ref.key, found)
                    return Coverage([Range(0, metadata.covered.end)])
            except ForeignObjectError:
                continue
        return Coverage()

    def listing(self, epoch: Epoch) -> Listing:
        """What the objects of an epoch cover: all of them are listed. Blocks on S3; errors as ``Archive``.

        Raises:
            StoppedError: the service stops.
        """
        result = Listing()
        known, blocks = self._blocks.get(epoch.topic, {}), dict[bytes, _Block]()
        loose: dict[ObjectRef, Metadata | str] = {}
        for partition, refs, closed in self._runs(epoch, result):
            if self._stopped():
                msg = "stopped while the objects were listed"
                raise StoppedError(msg)
            digest = _digest(refs)
            block = known.get(digest)
            if block is None:
                asked = self._ask(epoch, refs)
                block = _block(asked)
                if not closed:
                    loose |= asked
            if closed:
                blocks[digest] = block
            covered = result.covered.setdefault(partition, Coverage())
            for one in block.covered:
                covered.add(one)
            result.taken.setdefault(partition, {}).update(block.taken)
        # With them goes what was remembered of objects that are gone, and of the topic's former logs.
        self._blocks[epoch.topic], self._loose[epoch.topic] = blocks, loose
        return result

    def _last_page(self, epoch: Epoch, partition: int) -> list[ObjectRef]:
        """Objects with our names, in order; the last of them is the partition's last."""
        page, complete = self._from(epoch, partition, 0)
        step, nothing_from = 1, MAX_OFFSET
        while not complete:
            name = epoch.own_name(page[-1].key)
            low = 0 if name is None else name.start_offset + 1
            at = min(low + step, (low + nothing_from) // 2)
            step *= 2
            further, complete = self._from(epoch, partition, at)
            if further:
                page = further
            elif at > low:
                nothing_from, complete = at, False
        return page

    def _from(self, epoch: Epoch, partition: int, offset: int) -> tuple[list[ObjectRef], bool]:
        """A page of objects with our names that begin at an offset or behind it, and whether it holds the last."""
        start_after = epoch.key(partition, offset).removesuffix(_SUFFIX)
        listed = iter(self._archive.list(epoch.partition_prefix(partition), start_after))
        page = list(islice(listed, PAGE))
        own = [ref for ref in page if epoch.own_name(ref.key)]
        if not own:  # behind a page of other programs' objects there may be one of ours
            own = list(islice((ref for ref in listed if epoch.own_name(ref.key)), 1))
        return own, len(page) < PAGE or not own

    def _runs(self, epoch: Epoch, result: Listing) -> Iterator[tuple[int, list[ObjectRef], bool]]:
        """Neighbouring objects with our names, by partition; the rest is counted.

        Where a run ends depends on names alone, so that a new or lost object changes the run that it belongs to and no
        other. Says too whether the run is closed: whether an object behind it cannot make it longer.
        """
        run: list[ObjectRef] = []
        partition = 0
        for ref in self._archive.list(epoch.prefix):
            name = epoch.own_name(ref.key)
            if name is None:
                self._count_foreign(ref.key, result)
                continue
            if run and name.partition != partition:
                yield partition, run, False
                run = []
            partition = name.partition
            run.append(ref)
            if zlib.crc32(ref.key.encode()) % _BLOCK == 0 or len(run) == _LARGEST_BLOCK:
                yield partition, run, True
                run = []
        if run:
            yield partition, run, False

    def _count_foreign(self, key: str, result: Listing) -> None:
        if key.endswith("/"):  # the marker of a folder, which consoles and file systems over S3 leave
            return
        result.foreign += 1
        if len(result.examples) < _NAMED:
            result.examples.append(key)

    def _ask(self, epoch: Epoch, refs: list[ObjectRef]) -> dict[ObjectRef, Metadata | str]:
        """Each object's metadata, or why it is not ours; without objects deleted since they were listed."""
        known = self._loose.get(epoch.topic, {})
        unknown = [ref for ref in refs if ref not in known]
        answers = self._executor.map(self._archive.metadata, [ref.key for ref in unknown])
        found = {ref: known[ref] for ref in refs if ref in known}
        for ref, raw in zip(unknown, answers, strict=True):
            name = epoch.own_name(ref.key)
            if raw is None or name is None:
                continue
            try:
                found[ref] = own_metadata(epoch, name.start_offset, ref.key, raw)
            except ForeignObjectError as error:
                found[ref] = str(error)
        return found


def _digest(refs: Iterable[ObjectRef]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for ref in refs:
        digest.update(f"{ref.key}\n{ref.etag}\n".encode())
    return digest.digest()


def _block(asked: Mapping[ObjectRef, Metadata | str]) -> _Block:
    covered, taken = Coverage(), []
    for ref, found in asked.items():
        if isinstance(found, Metadata):
            covered.add(found.covered)
        elif (name := objects.parse_object_key(ref.key)) is not None:
            taken.append((name.start_offset, found))
    return _Block(tuple(covered), tuple(taken))
