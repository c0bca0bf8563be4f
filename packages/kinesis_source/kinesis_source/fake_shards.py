"""Streams and shards in memory, and errors as boto3 raises them: what ``fakes`` is made of."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError


def error(operation: str, code: str, message: str = "", status: int = 400) -> ClientError:
    """An error as botocore raises it."""
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


@dataclass
class FakeShard:
    """One shard: its hash keys, the records that have not expired, and when it was closed."""

    shard_id: str
    low: int
    high: int
    starting: int
    parents: list[str] = field(default_factory=list)
    ending: int | None = None
    closed_s: float = 0.0
    records: list[dict[str, Any]] = field(default_factory=list)

    def listed(self) -> dict[str, Any]:
        """As ListShards tells of it."""
        numbers = {"StartingSequenceNumber": str(self.starting)}
        if self.ending is not None:
            numbers["EndingSequenceNumber"] = str(self.ending)
        found: dict[str, Any] = {
            "ShardId": self.shard_id,
            "HashKeyRange": {"StartingHashKey": str(self.low), "EndingHashKey": str(self.high)},
            "SequenceNumberRange": numbers,
        }
        for name, parent in zip(("ParentShardId", "AdjacentParentShardId"), self.parents, strict=False):
            found[name] = parent
        return found


@dataclass
class FakeStream:
    """One stream and its shards, closed ones too."""

    name: str
    created_s: float
    retention_hours: int
    shards: dict[str, FakeShard] = field(default_factory=dict)
    made: int = 0

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:kinesis:us-east-1:000000000000:stream/{self.name}"

    def shard_of(self, entry: Mapping[str, Any]) -> FakeShard:
        """The open shard that a record of PutRecords goes to."""
        explicit = entry.get("ExplicitHashKey")
        digest = hashlib.md5(entry["PartitionKey"].encode(errors="surrogatepass"), usedforsecurity=False).digest()
        key = int(explicit) if explicit else int.from_bytes(digest)
        return next(s for s in self.shards.values() if s.ending is None and s.low <= key <= s.high)

    def expire(self, now_s: float) -> None:
        """Drop what is older than retention."""
        oldest_s = now_s - self.retention_hours * 3600
        for shard in list(self.shards.values()):
            if shard.ending is not None and shard.closed_s < oldest_s:
                del self.shards[shard.shard_id]
            elif shard.records and shard.records[0]["ApproximateArrivalTimestamp"] < oldest_s:
                shard.records = [one for one in shard.records if one["ApproximateArrivalTimestamp"] >= oldest_s]
