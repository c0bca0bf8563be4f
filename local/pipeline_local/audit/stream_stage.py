"""Reads what streams hold now. Nothing here judges."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pyarrow as pa
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from kinesis_source.aggregation import sub_records
from pipeline_contracts.content import content_hash
from pipeline_contracts.kinesis import StreamSummary
from service_kit.clock import Clock, SystemClock

from pipeline_local.audit.stages import TIMEOUT_S, StageUnreachableError

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import GetRecordsOutputTypeDef

READ_DEADLINE_S = 300.0
PAUSE_S = 0.25
"""Between two reads of a shard that gave nothing; a shard takes five reads a second, from all its readers together."""
CLOCK_MARGIN = timedelta(seconds=2)
"""How far the stream's clock may be behind ours."""
PAGE_RECORDS = 10_000
THREADS = 4

StreamRecords = pa.schema(
    [
        ("name", pa.string()),
        ("log_id", pa.string()),
        ("partition", pa.string()),
        ("offset", pa.string()),
        ("content_hash", pa.string()),
    ]
)
"""One record of a stream: shard and sequence number are its ``partition`` and ``offset``."""


@dataclass(frozen=True)
class StreamLog:
    """A stream as it is now: its shards, closed ones too, and the moment before which it may have dropped records."""

    name: str
    log_id: str
    shards: tuple[str, ...]
    created_at: datetime
    horizon: datetime


@dataclass(frozen=True)
class StreamContents:
    """Streams, and the records that they hold (columns of ``StreamRecords``)."""

    logs: list[StreamLog]
    records: pa.Table


class KinesisStage:
    """The streams, read only and without a trace: no checkpoint, no consumer.

    Raises:
        StageUnreachableError: from every method, when Kinesis does not answer or a stream is not there.
    """

    def __init__(self, client: "KinesisClient", clock: Clock) -> None:
        self._client = client
        self._clock = clock

    @classmethod
    def connect(cls, endpoint_url: str | None, region: str, key: str, secret: str) -> "KinesisStage":
        """The streams behind an endpoint."""
        config = Config(
            connect_timeout=TIMEOUT_S,
            read_timeout=3 * TIMEOUT_S,
            retries={"max_attempts": 2},
            max_pool_connections=THREADS,
        )
        client = boto3.client(
            "kinesis",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=config,
        )
        return cls(client, SystemClock())

    def read(self, names: list[str]) -> StreamContents:
        """Every record that arrived before this call, from the oldest one kept; blocks for 300 s at most.

        Some that arrive meanwhile may be there, too.
        """
        started = self._clock.now()
        deadline = self._clock.monotonic() + READ_DEADLINE_S
        try:
            logs = [self._log(name, started) for name in names]
            shards = [(log, shard) for log in logs for shard in log.shards]
            with ThreadPoolExecutor(THREADS) as pool:
                until = started + CLOCK_MARGIN
                read = pool.map(lambda one: self._shard(one[0], one[1], until, deadline), shards)
                records = pa.concat_tables([StreamRecords.empty_table(), *read])
            for log in logs:
                if self._log(log.name, started).log_id != log.log_id:
                    raise StageUnreachableError(f"the stream {log.name} was recreated while it was read; audit again")
        except (BotoCoreError, ClientError) as error:
            raise StageUnreachableError(f"the streams {', '.join(names)} cannot be read: {error}") from error
        return StreamContents(logs, records)

    def _log(self, name: str, now: datetime) -> StreamLog:
        summary = self._client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        created_at = summary["StreamCreationTimestamp"]
        log_id = StreamSummary(summary["StreamARN"], created_at.timestamp()).log_id
        kept = timedelta(hours=summary["RetentionPeriodHours"])
        return StreamLog(name, log_id, self._shards(name), created_at, now - kept)

    def _shards(self, name: str) -> tuple[str, ...]:
        # Not by boto3's paginator: it repeats the name beside the token, which Kinesis refuses.
        page = self._client.list_shards(StreamName=name)
        found = [shard["ShardId"] for shard in page["Shards"]]
        while token := page.get("NextToken"):
            page = self._client.list_shards(NextToken=token)
            found += [shard["ShardId"] for shard in page["Shards"]]
        return tuple(found)

    def _shard(self, log: StreamLog, shard: str, until: datetime, deadline: float) -> pa.Table:
        """The shard up to its end, to where it was all read a moment ago, or to a record of after ``until``."""
        numbers: list[str] = []
        hashes: list[str] = []
        iterator: str | None = self._client.get_shard_iterator(
            StreamName=log.name, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            if self._clock.monotonic() > deadline:
                raise StageUnreachableError(f"{log.name}, {shard}: not read to its end within {READ_DEADLINE_S:.0f} s")
            page = self._page(iterator)
            if page is None:
                self._clock.sleep(PAUSE_S)
                continue
            for record in page["Records"]:
                for place, data in _rows(record["SequenceNumber"], record["Data"]):
                    numbers.append(place)
                    hashes.append(content_hash(data))
            iterator = page.get("NextShardIterator")
            if page["Records"]:
                if page["Records"][-1]["ApproximateArrivalTimestamp"] > until:
                    break
            # The laptop's Kinesis says 0 of every page, so that only an empty one tells the end.
            elif page["MillisBehindLatest"] == 0:
                break
            else:
                self._clock.sleep(PAUSE_S)
        count = len(numbers)
        return pa.table([[log.name] * count, [log.log_id] * count, [shard] * count, numbers, hashes], StreamRecords)

    def _page(self, iterator: str) -> "GetRecordsOutputTypeDef | None":
        """The next records; None when the shard's readers ask for too much and this one has to wait."""
        try:
            return self._client.get_records(ShardIterator=iterator, Limit=PAGE_RECORDS)
        except self._client.exceptions.ProvisionedThroughputExceededException:
            return None


def _rows(number: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Place and data of a record, or of each record in an aggregate of the Kinesis Producer Library."""
    inner = sub_records(data)
    if inner is None:
        yield number, data
        return
    for nth, one in enumerate(inner):
        yield f"{number}.{nth}" if nth else number, one.data
