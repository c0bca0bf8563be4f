"""Objects of other writers in the bucket: markers, folders, names near ours, bytes of every kind."""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
from botocore.config import Config
from mypy_boto3_s3 import S3Client
from pipeline_contracts import objects
from pipeline_contracts.names import KINDS, Kind
from pipeline_contracts.objects import ObjectName

from fuzzing import odd
from fuzzing.case import Case
from fuzzing.place import Place

FAR = 10**15
"""Offsets of names like ours begin here: under a name that the sink must write, other bytes hold that partition alone,
as documented, until a person moves them away."""
OURS = "fuzz"


def client_of(place: Place) -> S3Client:
    """S3 of the installation."""
    return boto3.client(
        "s3",
        endpoint_url=place.localstack_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
    )


@dataclass(frozen=True)
class Written:
    """One object; ``deleted`` again at once, or there to stay."""

    client: S3Client
    bucket: str
    key: str
    body: bytes
    metadata: dict[str, str]
    deleted: bool

    @property
    def sent(self) -> bytes:
        """Its name, metadata and bytes."""
        return repr((self.key, self.metadata, self.deleted, len(self.body))).encode() + self.body[:2_000]

    def run(self) -> list[str]:
        """Put it there."""
        self.client.put_object(Bucket=self.bucket, Key=self.key, Body=self.body, Metadata=self.metadata)
        if self.deleted:
            self.client.delete_object(Bucket=self.bucket, Key=self.key)
        return []

    def smaller(self) -> Iterator[Case]:
        """What is stored stays."""
        return iter(())


class BucketBytes:
    """The bucket of raw objects."""

    pause_s = 0.3

    def __init__(self, place: Place) -> None:
        self._client = client_of(place)
        self._place = place

    def case(self, chance: random.Random) -> Case:
        """An object with any name, now and then one that is deleted or written again."""
        kind = chance.choice(KINDS)
        names = self._place.names
        key = name(chance, chance.choice((names.topic(kind),) * 9 + (names.dead_letter_topic,)))
        body = b"" if key.endswith("/") else content(chance, kind)
        metadata = {}
        if chance.random() < 0.3:
            ranges = (str(odd.number(chance)), str(FAR), "", "x")
            metadata = {
                objects.LOG_ID: f"{OURS}{chance.randrange(9)}",
                objects.FIRST_OFFSET: chance.choice(ranges),
                objects.NEXT_OFFSET: chance.choice(ranges),
            }
        return Written(self._client, names.bucket, key, body, metadata, chance.random() < 0.1)


def name(chance: random.Random, topic: str) -> str:
    """Names that the sink, the Java connector and other programs write, and such as look like them."""
    partition = chance.choice((0, 1, 2, 3, 7))
    offset = FAR + chance.randrange(200)
    folder = f"topics/{topic}/partition={partition}"
    near = ObjectName(topic, partition, offset).key
    return chance.choice(
        (
            near,
            near.removesuffix(".gz"),
            ObjectName(topic, partition, offset, f"{OURS}-log").key,
            f"{folder}/{topic}+{partition}+{offset}.json",
            f"{folder}/{topic}+{partition}+x.jsonl.gz",
            f"{folder}/{OURS}/{offset % 7}.json",
            f"{folder}/{OURS} é\u202e {offset % 5}.jsonl",
            f"{folder}/",
            f"topics/{topic}/",
            f"topics/{topic}/year=2026/month=11/{offset % 9}.json.gz",
            f"topics/{topic}/{OURS}+{offset % 9}",
            f"topics/{topic}.x/partition=0/{offset % 3}.jsonl",
            f"{OURS}/{offset % 9}",
            f"{folder}/{OURS}/" + "d/" * 20 + f"{offset % 3}",
        )
    )


def content(chance: random.Random, kind: Kind) -> bytes:
    """Lines, arrays, packed or not, cut or not, of any length."""
    lines = [line(chance, kind) for _ in range(chance.randrange(6))]
    match chance.randrange(8):
        case 0:
            body = b"[" + b",".join(lines) + b"]"
        case 1:
            body = b"x" * (9 << 20)  # a line without an end, over the limit
        case 2:
            body = b"{" + b'"a":[' * chance.choice((5, 5_000)) + b"\n".join(lines)
        case _:
            body = b"\n".join(lines) + chance.choice((b"", b"\n"))
    if chance.random() < 0.5:
        body = gzip.compress(body, mtime=0)
        if chance.random() < 0.3:
            body = body[: chance.randrange(len(body))]
    return odd.spoiled(chance, body) if chance.random() < 0.2 else body


def line(chance: random.Random, kind: Kind) -> bytes:
    """A bare row, an envelope around one, or neither."""
    value = odd.payload(chance, kind)
    if chance.random() < 0.5:
        return value
    envelope = b'{"offset":%s,"value":%s,"key":%s,"timestamp":%s}'
    offset = chance.choice((FAR + chance.randrange(200), -1, 2**63, 1.5))
    time = chance.choice(("2026-11-23T13:22:19.499Z", odd.text(chance), None))
    return envelope % (json.dumps(offset).encode(), value, b"null", json.dumps(time).encode())
