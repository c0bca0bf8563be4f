"""One stream through one client: the only file that knows Kinesis' requests and answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kinesis_source.errors import StreamReplacedError
from kinesis_source.failures import CLIENT_ERRORS
from kinesis_source.identity import StreamId
from kinesis_source.records import Page, epoch_s, page_from_answer

_LARGEST_PAGE = 1000


class KinesisClient(Protocol):
    """The part of boto3's Kinesis client that is used. Errors are botocore's."""

    def describe_stream_summary(self, **request: Any) -> Any:
        """Identity and retention of a stream."""

    def list_shards(self, **request: Any) -> Any:
        """The shards of a stream, in pages."""

    def get_shard_iterator(self, **request: Any) -> Any:
        """A position in a shard."""

    def get_records(self, **request: Any) -> Any:
        """Records from a position on. May hold ``Page`` instead of the fields, see ``connect``."""


@dataclass(frozen=True)
class StreamInfo:
    """Identity and retention."""

    id: StreamId
    retention_ms: int


@dataclass(frozen=True)
class Shard:
    """One shard as listed. ``starting`` differs between shards of one id in two streams of one name."""

    shard_id: str
    parents: tuple[str, ...]
    starting: str
    closed: bool


class Stream:
    """Requests for one stream. Every call blocks for one request (two clients' timeouts) and raises botocore's errors.

    ``client`` answers the small questions and ought to have a short timeout; ``bulk_client`` fetches records.
    """

    def __init__(
        self, client: KinesisClient, request: dict[str, str], bulk_client: KinesisClient | None = None
    ) -> None:
        self._client = client
        self._bulk = bulk_client or client
        self._request = request

    def describe(self) -> StreamInfo:
        """Identity and retention as they are now."""
        summary = self._client.describe_stream_summary(**self._request)["StreamDescriptionSummary"]
        created_ms = round(epoch_s(summary["StreamCreationTimestamp"]) * 1000)
        return StreamInfo(
            StreamId(summary["StreamARN"], created_ms), int(summary.get("RetentionPeriodHours", 24)) * 3_600_000
        )

    def check_identity(self, expected: StreamId) -> None:
        """Raise StreamReplacedError if it is another stream now; no answer proves nothing."""
        try:
            found = self.describe().id
        except CLIENT_ERRORS:
            return
        if found != expected:
            raise StreamReplacedError(expected, found)

    def list_shards(self, page_size: int) -> Sequence[Shard]:
        """All shards within retention, open and closed, in no order."""
        answer = self._client.list_shards(**self._request, MaxResults=page_size)
        found = list(answer["Shards"])
        while answer.get("NextToken"):
            answer = self._client.list_shards(NextToken=answer["NextToken"], MaxResults=page_size)
            found += answer["Shards"]
        return [
            Shard(
                shard["ShardId"],
                tuple(shard[key] for key in ("ParentShardId", "AdjacentParentShardId") if shard.get(key)),
                shard["SequenceNumberRange"]["StartingSequenceNumber"],
                shard["SequenceNumberRange"].get("EndingSequenceNumber") is not None,
            )
            for shard in found
        ]

    def lacks(self, shard_id: str) -> bool:
        """Whether the stream has no such shard any more; an empty listing says nothing."""
        shards = self.list_shards(_LARGEST_PAGE)
        return bool(shards) and all(shard.shard_id != shard_id for shard in shards)

    def from_oldest(self, shard_id: str) -> str:
        """Iterator from the oldest record on."""
        return self._iterator(shard_id, ShardIteratorType="TRIM_HORIZON")

    def from_latest(self, shard_id: str) -> str:
        """Iterator for what arrives from now on."""
        return self._iterator(shard_id, ShardIteratorType="LATEST")

    def from_time(self, shard_id: str, at_ms: int) -> str:
        """Iterator from the first record on that arrived then or later."""
        return self._iterator(shard_id, ShardIteratorType="AT_TIMESTAMP", Timestamp=at_ms / 1000)

    def from_sequence_number(self, shard_id: str, sequence_number: str) -> str:
        """Iterator from this record on; from the next one that is left, if it has expired."""
        return self._iterator(shard_id, ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=sequence_number)

    def fetch(self, iterator: str, limit: int) -> Page:
        """At most ``limit`` records."""
        answer = self._bulk.get_records(ShardIterator=iterator, Limit=limit)
        page = answer.get("Page")
        return page if isinstance(page, Page) else page_from_answer(answer)

    def _iterator(self, shard_id: str, **position: Any) -> str:
        answer = self._client.get_shard_iterator(**self._request, ShardId=shard_id, **position)
        return str(answer["ShardIterator"])
