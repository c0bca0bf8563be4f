"""Kinesis in memory, behind the part of boto3's client that this source and its tests use; with faults on demand.

One suite runs on it and on a real server (``tests/integration/test_kinesis_source.py``). What no local server does is
as AWS documents it:

- Records are gone once they are older than retention, at once when it is lowered, and do not come back when it is
  raised (``API_DecreaseStreamRetentionPeriod``, ``API_IncreaseStreamRetentionPeriod``). 24 to 8,760 hours.
- An iterator before the oldest record is one at the oldest record (``API_GetShardIterator``, said of AT_TIMESTAMP; of a
  sequence number that is gone nothing is said: it is refused, too, on request).
- A closed shard is listed and read until retention is over since it was closed, and then expired
  (``kinesis-using-sdk-java-after-resharding``, ``API_ListShards``).
- An answer may be empty before the end of the shard, with ``MillisBehindLatest`` above 0 (``API_GetRecords``).
- An iterator lives for 300 s (``API_GetShardIterator``), the token of a listing too (``API_ListShards``).

All below https://docs.aws.amazon.com/kinesis/latest/APIReference and https://docs.aws.amazon.com/streams/latest/dev.
"""

import json
import math
from collections import defaultdict, deque
from typing import Any

from service_kit.clock import Clock, SystemClock

from kinesis_source.fake_shards import FakeShard, FakeStream, error

HASH_SPACE = 1 << 128
ITERATOR_LIFE_S = 300
TOKEN_LIFE_S = 300
RETENTION_HOURS = (24, 8760)
_FIRST_SEQUENCE_NUMBER = 49 * 10**54


class FakeKinesis:
    """Streams of one account. Not thread-safe beyond what single list operations are.

    ``empty_answers``: so many answers of GetRecords hold nothing although there is something.
    """

    def __init__(
        self, clock: Clock | None = None, page_size: int = 10_000, *, refuse_trimmed: bool = False, lag_s: float = 0.0
    ) -> None:
        """``page_size``: an answer of GetRecords holds no more, as a real one is limited to 10 MB.

        ``refuse_trimmed``: a position before the oldest record is an error. ``lag_s``: its clock is so far behind.
        """
        self.empty_answers = 0
        self._refuse_trimmed, self._lag_s = refuse_trimmed, lag_s
        self.calls: dict[str, int] = defaultdict(int)
        self._clock = clock or SystemClock()
        self._streams: dict[str, FakeStream] = {}
        self._number = _FIRST_SEQUENCE_NUMBER
        self._faults: dict[str, deque[Exception]] = defaultdict(deque)
        self._page_size = page_size

    def fail(self, operation: str, failure: Exception, times: int = 1) -> None:
        """The next calls of an operation (as ``get_records``) raise this."""
        self._faults[operation].extend([failure] * times)

    def expire_records(self, stream: str, shard_id: str, count: int) -> None:
        """The oldest records of a shard are gone, as after the retention period."""
        del self._streams[stream].shards[shard_id].records[:count]

    def records(self, stream: str) -> list[tuple[str, str, bytes]]:
        """Shard, sequence number and data of what the stream holds."""
        found = self._stream("ListShards", {"StreamName": stream})
        return [
            (shard.shard_id, record["SequenceNumber"], record["Data"])
            for shard in found.shards.values()
            for record in shard.records
        ]

    def expire_shard(self, stream: str, shard_id: str) -> None:
        """A closed shard whose records have all expired is not listed any more."""
        del self._streams[stream].shards[shard_id]

    def create_stream(self, StreamName: str, ShardCount: int = 1) -> None:  # noqa: N803 - boto3's names, here and below
        """At once ``ACTIVE``."""
        if StreamName in self._streams:
            raise error("CreateStream", "ResourceInUseException", f"Stream {StreamName} already exists")
        stream = FakeStream(StreamName, self._now_s(), 24)
        for number in range(ShardCount):
            low, high = HASH_SPACE * number // ShardCount, HASH_SPACE * (number + 1) // ShardCount - 1
            self._add_shard(stream, low, high, [])
        self._streams[StreamName] = stream

    def delete_stream(self, StreamName: str, EnforceConsumerDeletion: bool = False) -> None:  # noqa: ARG002, N803
        """At once gone."""
        self._stream("DeleteStream", {"StreamName": StreamName})
        del self._streams[StreamName]

    def describe_stream_summary(self, **request: Any) -> Any:
        """See boto3."""
        stream = self._called("describe_stream_summary", "DescribeStreamSummary", request)
        summary = {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": stream.retention_hours,
            "StreamCreationTimestamp": stream.created_s,
            "OpenShardCount": sum(shard.ending is None for shard in stream.shards.values()),
        }
        return {"StreamDescriptionSummary": summary}

    def list_shards(self, **request: Any) -> Any:
        """See boto3."""
        token = json.loads(request["NextToken"]) if "NextToken" in request else None
        stream = self._called("list_shards", "ListShards", {"StreamName": token[0]} if token else request)
        if token and self._now_s() - token[2] > TOKEN_LIFE_S:
            raise error("ListShards", "ExpiredNextTokenException", "The pagination token has expired.")
        after = token[1] if token else request.get("ExclusiveStartShardId", "")
        found = [shard.listed() for name, shard in sorted(stream.shards.items()) if name > after]
        most = request.get("MaxResults", 1000)
        answer: dict[str, Any] = {"Shards": found[:most]}
        if len(found) > most:
            answer["NextToken"] = json.dumps([stream.name, found[most - 1]["ShardId"], self._now_s()])
        return answer

    def put_record(self, **request: Any) -> Any:
        """See boto3."""
        entry = {name: value for name, value in request.items() if name not in ("StreamName", "StreamARN")}
        [answer] = self.put_records(StreamName=request["StreamName"], Records=[entry])["Records"]
        return answer

    def put_records(self, **request: Any) -> Any:
        """See boto3; every record succeeds."""
        stream = self._called("put_records", "PutRecords", request)
        answers = []
        for entry in request["Records"]:
            shard = stream.shard_of(entry)
            number = str(self._next_number())
            shard.records.append(
                {
                    "SequenceNumber": number,
                    "ApproximateArrivalTimestamp": math.floor(self._now_s() * 1000) / 1000,
                    "Data": entry["Data"].encode() if isinstance(entry["Data"], str) else bytes(entry["Data"]),
                    "PartitionKey": entry["PartitionKey"],
                }
            )
            answers.append({"SequenceNumber": number, "ShardId": shard.shard_id})
        return {"FailedRecordCount": 0, "Records": answers}

    def increase_stream_retention_period(self, **request: Any) -> None:
        """See boto3; done at once. What has expired stays gone."""
        self._retain("IncreaseStreamRetentionPeriod", request, rises=True)

    def decrease_stream_retention_period(self, **request: Any) -> None:
        """See boto3; done at once, and what is older is gone."""
        self._retain("DecreaseStreamRetentionPeriod", request, rises=False)

    def split_shard(self, **request: Any) -> None:
        """See boto3; done at once."""
        stream = self._called("split_shard", "SplitShard", request)
        parent, at = self._open_shard(stream, "SplitShard", request["ShardToSplit"]), int(request["NewStartingHashKey"])
        if not parent.low < at <= parent.high:
            raise error("SplitShard", "InvalidArgumentException", "NewStartingHashKey is not in the shard's range")
        parent.ending, parent.closed_s = self._next_number(), self._now_s()
        self._add_shard(stream, parent.low, at - 1, [parent.shard_id])
        self._add_shard(stream, at, parent.high, [parent.shard_id])

    def merge_shards(self, **request: Any) -> None:
        """See boto3; done at once."""
        stream = self._called("merge_shards", "MergeShards", request)
        one = self._open_shard(stream, "MergeShards", request["ShardToMerge"])
        other = self._open_shard(stream, "MergeShards", request["AdjacentShardToMerge"])
        if one.high + 1 != other.low and other.high + 1 != one.low:
            raise error("MergeShards", "InvalidArgumentException", "the shards are not adjacent")
        one.ending = other.ending = self._next_number()
        one.closed_s = other.closed_s = self._now_s()
        self._add_shard(stream, min(one.low, other.low), max(one.high, other.high), [one.shard_id, other.shard_id])

    def get_shard_iterator(self, **request: Any) -> Any:
        """See boto3."""
        stream = self._called("get_shard_iterator", "GetShardIterator", request)
        shard = self._known_shard(stream, "GetShardIterator", request["ShardId"])
        match request["ShardIteratorType"]:
            case "TRIM_HORIZON":
                position = 0
            case "LATEST":
                position = self._number + 1
            case "AT_TIMESTAMP":
                position = self._position_at(shard, request["Timestamp"])
            case kind:
                position = int(request["StartingSequenceNumber"])
                if not shard.starting <= position <= (shard.ending or self._number):
                    message = "the sequence number did not come from this stream"
                    raise error("GetShardIterator", "InvalidArgumentException", message)
                if self._refuse_trimmed and not any(int(r["SequenceNumber"]) == position for r in shard.records):
                    raise error("GetShardIterator", "InvalidArgumentException", "the record is not there any more")
                position += kind == "AFTER_SEQUENCE_NUMBER"
        return {"ShardIterator": self._iterator(stream, shard, position)}

    def get_records(self, **request: Any) -> Any:
        """See boto3."""
        self._count("get_records")
        name, created_s, shard_id, position, made_s = json.loads(request["ShardIterator"])
        stream = self._stream("GetRecords", {"StreamName": name})
        if stream.created_s != created_s:
            raise error("GetRecords", "InvalidArgumentException", "Invalid ShardIterator.")
        if self._now_s() - made_s > ITERATOR_LIFE_S:
            raise error("GetRecords", "ExpiredIteratorException", "Iterator expired.")
        shard = self._known_shard(stream, "GetRecords", shard_id)
        left = [record for record in shard.records if int(record["SequenceNumber"]) >= position]
        records = left[: min(request.get("Limit", 10_000), self._page_size)]
        if records and self.empty_answers:
            self.empty_answers -= 1
            records = []
        more = len(left) > len(records)
        if records:
            position = int(records[-1]["SequenceNumber"]) + 1
        answer: dict[str, Any] = {"Records": records, "MillisBehindLatest": 0}
        if more:
            next_arrival_s = left[len(records)]["ApproximateArrivalTimestamp"]
            answer["MillisBehindLatest"] = max(1, round((self._now_s() - next_arrival_s) * 1000))
        if more or shard.ending is None or position <= shard.ending:
            # A closed shard ends with an empty answer that does not say so yet, as real ones do.
            after = position if records or more or shard.ending is None else shard.ending + 1
            answer["NextShardIterator"] = self._iterator(stream, shard, after)
        return answer

    def _count(self, method: str) -> None:
        self.calls[method] += 1
        if self._faults[method]:
            raise self._faults[method].popleft()

    def _called(self, method: str, operation: str, request: dict[str, Any]) -> FakeStream:
        self._count(method)
        return self._stream(operation, request)

    def _stream(self, operation: str, request: dict[str, Any]) -> FakeStream:
        name = request.get("StreamName") or str(request.get("StreamARN", "")).rpartition("/")[2]
        if name not in self._streams:
            raise error(operation, "ResourceNotFoundException", f"Stream {name} not found")
        self._streams[name].expire(self._now_s())
        return self._streams[name]

    def _retain(self, operation: str, request: dict[str, Any], *, rises: bool) -> None:
        stream, hours = self._stream(operation, request), request["RetentionPeriodHours"]
        least, most = RETENTION_HOURS
        # The same value again is no error.
        if not least <= hours <= most or (hours < stream.retention_hours if rises else hours > stream.retention_hours):
            raise error(operation, "InvalidArgumentException", f"Retention period hours {hours} must not be this")
        stream.retention_hours = hours
        stream.expire(self._now_s())

    def _known_shard(self, stream: FakeStream, operation: str, shard_id: str) -> FakeShard:
        if shard_id not in stream.shards:
            raise error(operation, "ResourceNotFoundException", f"Shard {shard_id} does not exist")
        return stream.shards[shard_id]

    def _open_shard(self, stream: FakeStream, operation: str, shard_id: str) -> FakeShard:
        shard = self._known_shard(stream, operation, shard_id)
        if shard.ending is not None:
            raise error(operation, "ResourceInUseException", f"Shard {shard_id} has been closed")
        return shard

    def _add_shard(self, stream: FakeStream, low: int, high: int, parents: list[str]) -> None:
        shard = FakeShard(f"shardId-{stream.made:012}", low, high, self._next_number(), parents)
        stream.shards[shard.shard_id] = shard
        stream.made += 1

    def _position_at(self, shard: FakeShard, timestamp: Any) -> int:
        at_s = timestamp.timestamp() if hasattr(timestamp, "timestamp") else float(timestamp)
        if at_s > self._now_s():
            raise error("GetShardIterator", "InvalidArgumentException", "the timestamp is in the future")
        later = [r["SequenceNumber"] for r in shard.records if r["ApproximateArrivalTimestamp"] >= at_s]
        return int(later[0]) if later else self._number + 1

    def _iterator(self, stream: FakeStream, shard: FakeShard, position: int) -> str:
        return json.dumps([stream.name, stream.created_s, shard.shard_id, position, self._now_s()])

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _now_s(self) -> float:
        return self._clock.now().timestamp() - self._lag_s
