"""How far the sink has archived each partition, asked again and again while somebody waits for it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from pipeline_contracts import objects
from pipeline_contracts.objects import MAX_OFFSET, integer, parse_object_key, partition_prefix

from pipeline_local.audit.stages import LogPartition, StageUnreachableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class _Folder(NamedTuple):
    """What is known of one folder: the last key of our sink, what that object covers, and foreign objects behind it."""

    last_key: str | None = None
    log_id: str | None = None
    next_offset: int = 0
    foreign: frozenset[tuple[str, str]] = frozenset()


class ObjectReach:
    """The end of each partition's objects, by the metadata of the last one.

    The sink's objects of a partition follow each other, so the last one tells how far they go. The first look lists
    the names of a folder, later ones those behind the last known key, and each new last object is asked for once:
    what a look costs does not grow with the objects that are there.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._folders: dict[str, _Folder] = {}

    def reached(self, logs: Iterable[LogPartition]) -> dict[tuple[str, int], int]:
        """Per (log id, partition) the offset before which all is archived; 0 where no object is.

        Raises:
            StageUnreachableError: S3 does not answer or the bucket is not there.
        """
        try:
            return {(log.log_id, log.partition): self._reach(log) for log in logs}
        except (BotoCoreError, ClientError) as error:
            raise StageUnreachableError(f"the bucket {self._bucket} cannot be read: {error}") from error

    def _reach(self, log: LogPartition) -> int:
        # The first log of a topic lies in the plain folder, a later one in a folder of its own.
        for log_id in (None, log.log_id):
            prefix = partition_prefix(log.topic, log.partition, log_id)
            folder = self._folders[prefix] = self._look(prefix, self._folders.get(prefix, _Folder()))
            if folder.log_id == log.log_id:
                return folder.next_offset
        return 0

    def _look(self, prefix: str, known: _Folder) -> _Folder:
        entries = self._entries(prefix, known.last_key)
        if known.last_key is not None and known.last_key not in dict(entries):  # the bucket was recreated
            known, entries = _Folder(), self._entries(prefix, None)
        foreign = set(known.foreign)
        for key, etag in reversed(entries):
            if key == known.last_key:
                break
            if (key, etag) in known.foreign:
                continue
            metadata = self._client.head_object(Bucket=self._bucket, Key=key)["Metadata"]
            beyond = integer(metadata.get(objects.NEXT_OFFSET, ""), MAX_OFFSET)
            name = parse_object_key(key)
            own = name is not None and metadata.get(objects.FIRST_OFFSET) == str(name.start_offset)
            if own and beyond is not None and objects.LOG_ID in metadata:
                return _Folder(key, metadata[objects.LOG_ID], beyond, frozenset(foreign))
            foreign.add((key, etag))  # ours may yet come before it
        return known._replace(foreign=frozenset(foreign & set(entries)))

    def _entries(self, prefix: str, last_key: str | None) -> list[tuple[str, str]]:
        """Names as our sink gives them, with ETags, from the last known one on. Padded numbers sort like offsets."""
        before_it = prefix if last_key is None else last_key[:-1]
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/", StartAfter=before_it
        )
        entries = [(entry["Key"], entry["ETag"]) for page in pages for entry in page.get("Contents", [])]
        return [entry for entry in entries if (name := parse_object_key(entry[0])) and entry[0] == name.key]
