"""Bytes in Kinesis by its own API: any partition key, aggregates whole and damaged, big records."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError
from kinesis_source.aggregation import SubRecord, aggregate
from mypy_boto3_kinesis import KinesisClient
from pipeline_contracts.names import KINDS, Kind

from fuzzing import odd
from fuzzing.case import Case
from fuzzing.place import Place

REFUSED = {
    "ValidationException",
    "InvalidArgumentException",
    "SerializationException",
    "ProvisionedThroughputExceededException",
}


@dataclass(frozen=True)
class Put:
    """One record."""

    client: KinesisClient
    stream: str
    data: bytes
    key: str
    more: dict[str, Any]

    @property
    def sent(self) -> bytes:
        """Stream, key, data."""
        return repr((self.stream, self.key, self.more)).encode() + self.data[:2_500]

    def run(self) -> list[str]:
        """Store it; what Kinesis refuses for its form is in no stream."""
        try:
            self.client.put_record(StreamName=self.stream, Data=self.data, PartitionKey=self.key, **self.more)
        except ClientError as error:
            if error.response["Error"]["Code"] not in REFUSED:
                return [f"Kinesis: {error}"]
        return []

    def smaller(self) -> Iterator[Case]:
        """What is stored stays."""
        return iter(())


class KinesisBytes:
    """The three streams."""

    pause_s = 0.25

    def __init__(self, place: Place) -> None:
        self._place = place
        self._client: KinesisClient = boto3.client(
            "kinesis",
            endpoint_url=place.localstack_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def case(self, chance: random.Random) -> Case:
        """One record of any stream."""
        kind = chance.choice(KINDS)
        key = chance.choice((str(chance.randrange(50)), odd.text(chance)[:256] or "k", "\ud83d", "\x1a{}", "é" * 128))
        more: dict[str, Any] = {}
        if chance.random() < 0.1:
            more["ExplicitHashKey"] = str(chance.choice((0, 2**128 - 1, 2**127, 2**128)))
        return Put(self._client, self._place.names.stream(kind), data(chance, kind), key, more)


def data(chance: random.Random, kind: Kind) -> bytes:
    """A payload, an aggregate of some, or damage to one."""
    if chance.random() < 0.5:
        return odd.payload(chance, kind)[: 1 << 20] or b"x"
    keys = [odd.text(chance).encode("utf-8", "replace")[:256] for _ in range(chance.randrange(5))]
    whole = aggregate([SubRecord(key, odd.payload(chance, kind)[:100_000]) for key in keys])
    match chance.randrange(6):
        case 0:
            return whole[: chance.randrange(1, len(whole))]
        case 1:
            return odd.spoiled(chance, whole)[: 1 << 20] or b"x"
        case 2:
            return aggregate([SubRecord(b"k", whole)])
        case 3:
            return whole + chance.choice(odd.JUNK)
        case _:
            return whole
