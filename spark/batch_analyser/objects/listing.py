"""Which objects of the bucket are new or were written again since the last ingest.

A daily run must not list a year of objects, so it lists each partition from one known key back. That is right
where keys sort like offsets and the last known object is still what it was; everywhere else all is listed.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError
from pipeline_contracts.objects import parse_object_key, topic_prefix

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef


class BucketMissingError(Exception):
    """The bucket of raw objects does not exist."""


class Listed(NamedTuple):
    """One object as a listing shows it."""

    key: str
    etag: str
    size: int
    modified: datetime


class Tail(NamedTuple):
    """What the ledger knows of the end of one prefix.

    ``even`` says whether all known names have offsets of one width, and their ranges follow each other; ``reach`` is
    the offset before which the known objects' ranges end.
    """

    last_key: str
    last_etag: str
    previous_key: str | None
    even: bool
    reach: int = 0

    @property
    def start_after(self) -> str | None:
        """List behind this key; None lists all.

        A leading zero proves padding, so that names sort like offsets; the width alone does not.
        """
        name = parse_object_key(self.last_key)
        if name is None or not self.even:
            return None
        digits = self.last_key.rsplit("+", 1)[1].split(".", 1)[0]
        return self.previous_key if len(digits) > 1 and digits.startswith("0") else None


class Folder(NamedTuple):
    """One level of the bucket: objects, and folders by their whole prefix."""

    objects: list[Listed]
    folders: list[str]


class Listing(NamedTuple):
    """The outcome: what may be new, and how many entries the bucket was asked for."""

    candidates: list[Listed]
    listed: int


class Bucket:
    """Lists one bucket, page by page.

    Every method raises ``BucketMissingError`` where there is none, and blocks on the client's own timeouts.
    """

    def __init__(self, client: "S3Client", name: str) -> None:
        self._client = client
        self.name = name

    def check(self) -> None:
        """One cheap listing."""
        with self._clear_errors():
            self._client.list_objects_v2(Bucket=self.name, MaxKeys=1)

    def folder(self, prefix: str, start_after: str | None = None) -> "Folder":
        """What lies right below a folder, behind ``start_after``."""
        objects: list[Listed] = []
        folders: list[str] = []
        for page in self._pages(prefix, start_after):
            folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            objects += [
                Listed(entry["Key"], entry["ETag"].strip('"'), entry["Size"], entry["LastModified"])
                for entry in page.get("Contents", [])
            ]
        return Folder(objects, folders)

    def folders_before(self, prefix: str, key: str) -> list[str]:
        """The folders right below one whose names sort before a key; asks no further than the first such object."""
        folders: list[str] = []
        for page in self._pages(prefix):
            folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", []) if entry["Prefix"] < key]
            if page.get("Contents"):
                break
        return folders

    def _pages(self, prefix: str, start_after: str | None = None) -> "Iterator[ListObjectsV2OutputTypeDef]":
        """One level below ``prefix``: folders and objects, also one that is called like the folder."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name,
            Prefix=prefix,
            Delimiter="/",
            StartAfter=start_after or prefix[:-1],
        )
        with self._clear_errors():
            yield from pages

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucket":
                msg = f"the bucket {self.name} does not exist; deploy the data template, or set ANALYSER_BUCKET"
                raise BucketMissingError(msg) from error
            raise


def list_candidates(bucket: Bucket, topics: Iterable[str], tails: Mapping[str, Tail], *, all_keys: bool) -> Listing:
    """Objects that the ledger may not know in this state.

    Every folder below a topic is looked into, however deep. In one that is listed from a known key on, folders whose
    names sort among the known objects' are not seen; nothing that writes objects makes such names.

    Where the last known object is gone or was written again, the folder is listed again from its start: a bucket
    that was recreated holds other objects under known names, and the Java connector rewrites more than one.
    """
    candidates: list[Listed] = []
    listed = 0
    open_folders = [topic_prefix(topic) for topic in topics]
    while open_folders:
        prefix = open_folders.pop()
        tail = tails.get(prefix)
        start_after = None if tail is None or all_keys else tail.start_after
        found = bucket.folder(prefix, start_after)
        listed += len(found.objects)
        if start_after is not None:
            if tail is not None and not _intact(tail, found.objects):
                found = bucket.folder(prefix)
                listed += len(found.objects)
            else:
                open_folders += bucket.folders_before(prefix, start_after)
        open_folders += found.folders
        candidates += [entry for entry in found.objects if tail is None or not _is_last(tail, entry)]
    return Listing([entry for entry in candidates if entry.size or not entry.key.endswith("/")], listed)


def new_objects(candidates: Iterable[Listed], known: set[tuple[str, str]]) -> list[Listed]:
    """Candidates that the ledger does not hold by (key, ETag), in the order of their keys."""
    return sorted((entry for entry in candidates if (entry.key, entry.etag) not in known), key=lambda entry: entry.key)


def in_commits(objects: Iterable[Listed], max_objects: int, max_bytes: int) -> Iterator[list[Listed]]:
    """Cut a backlog into parts that each fit one commit; an object over ``max_bytes`` is a part of its own."""
    part: list[Listed] = []
    size = 0
    for entry in objects:
        if part and (len(part) >= max_objects or size + entry.size > max_bytes):
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size
    if part:
        yield part


def in_tasks(objects: list[Listed], tasks: int) -> list[list[Listed]]:
    """Cut a commit into at most ``tasks`` runs of neighbours of about equal weight.

    Neighbours share topic and partition, so that each task writes few files with narrow ranges of offsets.
    """
    weights = [entry.size + 16_384 for entry in objects]  # a request costs about as much as this many bytes
    goal = max(1, sum(weights)) / max(1, tasks)
    runs: list[list[Listed]] = []
    done = 0.0
    for entry, weight in zip(objects, weights, strict=True):
        if not runs or (done >= goal * len(runs) and len(runs) < tasks):
            runs.append([])
        runs[-1].append(entry)
        done += weight
    return runs


def _intact(tail: Tail, found: list[Listed]) -> bool:
    return any(_is_last(tail, entry) for entry in found)


def _is_last(tail: Tail, entry: Listed) -> bool:
    return entry.key == tail.last_key and entry.etag == tail.last_etag
