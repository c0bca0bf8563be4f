"""Reads what each stage holds. Nothing here judges."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import TopicCollection as Topics
from confluent_kafka.admin import AdminClient, OffsetSpec
from pipeline_contracts import dead_letters as headers
from pipeline_contracts import objects
from pipeline_contracts.objects import MAX_OFFSET, MAX_PARTITION, integer

from pipeline_local import unreadable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TIMEOUT_S = 10.0
HEAD_THREADS = 16


class StageUnreachableError(RuntimeError):
    """A stage does not answer, so nothing can be said about its records."""


@dataclass(frozen=True)
class LogPartition:
    """One partition of a topic, as the broker has it now. ``high`` is the offset of the next record.

    ``open_from`` is where a transaction begins that has not ended, and readers must stop; None without one.
    """

    topic: str
    log_id: str
    partition: int
    low: int
    high: int
    open_from: int | None = None


@dataclass(frozen=True)
class Coordinate:
    """Where a record lies."""

    topic: str
    log_id: str
    partition: int
    offset: int


@dataclass(frozen=True)
class CoveredRange:
    """What one object covers: offsets ``first`` to ``next - 1``, of which ``records`` are lines in it.

    ``dead_lettered`` of the others went to the dead-letter topic, and at the rest the log holds no record.
    """

    topic: str
    log_id: str
    partition: int
    first: int
    next: int
    records: int
    object_key: str
    etag: str
    dead_lettered: int = 0


class KafkaStage:
    """The broker, read only.

    Raises:
        StageUnreachableError: from every method, when the broker does not answer within 10 s.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._settings = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "pipeline-audit",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            # Markers may stand at the end of a log: what was read up to says this, not the last record.
            "enable.partition.eof": True,
            "log_level": 0,
        }

    def watermarks(self, topics: list[str]) -> list[LogPartition]:
        """Low and high watermark of every partition of the topics, which must all exist."""
        try:
            admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 0})
            futures = admin.describe_topics(Topics(topics), request_timeout=TIMEOUT_S)
            described = {topic: future.result(TIMEOUT_S) for topic, future in futures.items()}
            places = [(topic, one.id) for topic, found in described.items() for one in found.partitions]
            # The stable ends last: a transaction that ended meanwhile is none, and what it holds is below the high one.
            lows = _offsets(admin, places, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)  # type: ignore[no-untyped-call]
            highs = _offsets(admin, places, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)  # type: ignore[no-untyped-call]
            stable = _offsets(admin, places, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]
            return [
                LogPartition(
                    topic,
                    str(described[topic].topic_id),
                    partition,
                    lows[topic, partition],
                    highs[topic, partition],
                    stable[topic, partition] if stable[topic, partition] < highs[topic, partition] else None,
                )
                for topic, partition in places
            ]
        except TimeoutError as error:
            raise StageUnreachableError(f"Kafka at {self._servers} does not answer within {TIMEOUT_S:g} s") from error
        except KafkaException as error:
            raise StageUnreachableError(f"Kafka at {self._servers} does not answer: {error}") from error

    def dead_letters(self, log: LogPartition) -> set[Coordinate]:
        """Origins of the dead letters in one partition of the dead-letter topic, up to its high watermark.

        A batch that the client cannot read is passed over: what was lost with it is missing where it is owed. A letter
        whose headers do not tell its origin (none of our sink wrote it) keeps its own place, as in the lake.
        """
        origins: set[Coordinate] = set()
        if log.low >= log.high:
            return origins
        consumer = Consumer(self._settings)
        try:
            consumer.assign([TopicPartition(log.topic, log.partition, log.low)])
            position = log.low
            while position < log.high:
                messages = consumer.consume(1000, timeout=TIMEOUT_S)
                if not messages:
                    raise StageUnreachableError(
                        f"Kafka at {self._servers} gave nothing of {log.topic} for {TIMEOUT_S} s"
                    )
                for message in messages:
                    error, offset = message.error(), message.offset() or 0
                    if (first := unreadable.first_offset(message)) is not None:
                        position = unreadable.first_behind(self._servers, log.topic, log.partition, first, log.high)
                        consumer.assign([TopicPartition(log.topic, log.partition, position)])
                        break  # what came with it is read again from there
                    if error is not None and error.code() == KafkaError._PARTITION_EOF:
                        return origins  # markers, or a transaction that has not ended, lie between here and the end
                    if error is not None:
                        raise KafkaException(error)
                    position = offset + 1
                    own = Coordinate(log.topic, log.log_id, log.partition, offset)
                    origins.add(_origin(_headers(message)) or own)
        except KafkaException as error:
            raise StageUnreachableError(f"Kafka at {self._servers} does not answer: {error}") from error
        finally:
            consumer.close()
        return origins


def _offsets(
    admin: AdminClient, places: list[tuple[str, int]], spec: OffsetSpec, isolation: IsolationLevel
) -> dict[tuple[str, int], int]:
    """One end of each partition."""
    asked = {TopicPartition(*place): spec for place in places}
    answers = admin.list_offsets(asked, isolation_level=isolation, request_timeout=TIMEOUT_S) if asked else {}
    return {(place.topic, place.partition): answer.result(TIMEOUT_S).offset for place, answer in answers.items()}


def _headers(message: Message) -> dict[str, str | bytes | None]:
    """A letter's headers; none where the client cannot read them, since one of their keys is not UTF-8."""
    try:
        return dict(message.headers() or {})
    except (UnicodeDecodeError, SystemError) as error:
        # The client returns a result and an error at once, which Python notices sooner or later.
        if not isinstance(error.__cause__ if isinstance(error, SystemError) else error, UnicodeDecodeError):
            raise
        return {}


def _origin(found: dict[str, str | bytes | None]) -> Coordinate | None:
    values = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or ""
        for name, value in found.items()
    }
    topic = values.get(headers.TOPIC, "")
    partition = integer(values.get(headers.PARTITION, ""), MAX_PARTITION)
    offset = integer(values.get(headers.OFFSET, ""), MAX_OFFSET)
    if not topic or partition is None or offset is None:
        return None
    return Coordinate(topic, values.get(headers.LOG_ID) or f"topic:{topic}", partition, offset)


def objects_client(endpoint_url: str | None, region: str, key: str, secret: str) -> "S3Client":
    """A client that tries twice and gives up a silent connection after 10 s."""
    config = Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"max_attempts": 2},
        max_pool_connections=HEAD_THREADS,
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


class ObjectStage:
    """The bucket of raw objects, read only.

    Raises:
        StageUnreachableError: from every method, when S3 does not answer or the bucket is not there.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._asked: dict[tuple[str, str], dict[str, str]] = {}

    @classmethod
    def connect(cls, endpoint_url: str | None, region: str, bucket: str, key: str, secret: str) -> "ObjectStage":
        """The bucket behind an endpoint."""
        client = objects_client(endpoint_url, region, key, secret)
        return cls(client, bucket)

    def covered(self, topics: list[str]) -> list[CoveredRange]:
        """What the objects of our sink cover; objects without its names and metadata are left out.

        Each object is asked for its metadata once in the life of this stage.
        """
        try:
            listed = [entry for topic in topics for entry in self._list(objects.topic_prefix(topic))]
            with ThreadPoolExecutor(HEAD_THREADS) as pool:
                return [found for found in pool.map(self._head, listed) if found is not None]
        except (BotoCoreError, ClientError) as error:
            raise StageUnreachableError(f"the bucket {self._bucket} cannot be read: {error}") from error

    def _list(self, prefix: str) -> Iterator[tuple[str, str]]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["ETag"]

    def _head(self, entry: tuple[str, str]) -> CoveredRange | None:
        key, etag = entry
        name = objects.parse_object_key(key)
        if name is None or name.key != key:
            return None
        if entry not in self._asked:
            self._asked[entry] = self._metadata(key)
        metadata = self._asked[entry]
        first, after, records, dead = (
            integer(metadata.get(field, ""), MAX_OFFSET)
            for field in (objects.FIRST_OFFSET, objects.NEXT_OFFSET, objects.RECORDS, objects.DEAD_LETTERED)
        )
        log_id = metadata.get(objects.LOG_ID)
        if first != name.start_offset or after is None or after <= first or records is None or not log_id:
            return None
        return CoveredRange(name.topic, log_id, name.partition, first, after, records, key, etag.strip('"'), dead or 0)

    def _metadata(self, key: str) -> dict[str, str]:
        """An object's metadata; none of one that was deleted since it was listed."""
        try:
            return self._client.head_object(Bucket=self._bucket, Key=key)["Metadata"]
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                return {}
            raise
