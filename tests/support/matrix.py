"""Posted here, must appear there: one row per kind of event and path, for either runner."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import boto3
from pipeline_contracts.names import KINDS, Kind, Names

MATRIX = [(kind, path) for path in ("batch", "stream") for kind in KINDS]


class Installation(Protocol):
    """What ``stack.Stack`` and ``compose_stack.ComposeStack`` have in common."""

    environment: dict[str, str]

    def json(self, *arguments: str, check: bool = True) -> Any: ...


def appears(installation: Installation, raw: Path, kind: Kind, path: str) -> None:
    """Fail unless every row of a kind is where the path leads: bronze, or the stream."""
    rows = Counter(_plain(line) for line in (raw / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines())
    names = Names(installation.environment.get("PIPELINE_ID", "pinterest"))
    if path == "batch":
        sql = f"select value from bronze_events where topic = '{names.topic(kind)}'"
        found = Counter(_plain(row["value"]) for row in installation.json("query", sql))
    else:
        found = Counter(_plain(text) for text in _in_stream(installation, names.stream(kind)))
    missing, extra = rows - found, found - rows
    assert not missing, f"{kind} by {path}: {missing.total()} missing, such as {next(iter(missing))[:200]}"
    # A kill may store a record twice; that is a repeat, of which the audit says how many there are.
    assert set(extra) <= set(rows), f"{kind} by {path}: rows that nobody sent"


def _plain(text: str) -> str:
    return json.dumps(json.loads(text))


def _in_stream(installation: Installation, stream: str) -> list[str]:
    kinesis: Any = boto3.client(
        "kinesis",
        endpoint_url=f"http://localhost:{installation.environment['LOCALSTACK_PORT']}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    found = []
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            page = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            if not page["Records"]:
                break
            found += [record["Data"].decode() for record in page["Records"]]
            iterator = page["NextShardIterator"]
    return found
