"""The gateway as a sender calls it, and what lies in its streams."""

import json
from dataclasses import dataclass
from typing import Any

import urllib3
from aws_deploy.clients import Clients

HTTP = urllib3.PoolManager(retries=False)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Gateway:
    """A deployed API, called with ``key`` unless a call gives another; None for none."""

    url: str
    key: str

    def call(
        self, method: str, path: str, body: Any = None, *, kind: str | None = "application/json", key: str | None = ""
    ) -> Answer:
        """``body``: bytes as they are, anything else as JSON."""
        headers = ({"Content-Type": kind} if kind and body is not None else {}) | self._key(key)
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = HTTP.request(method, self.url + path, body=sent, headers=headers, retries=False, timeout=30)
        return Answer(answer.status, answer.headers, answer.data)

    def _key(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"x-api-key": key or self.key}


def stored(clients: Clients, stream: str) -> dict[str, list[bytes]]:
    """All records of a stream, by partition key."""
    found: dict[str, list[bytes]] = {}
    for shard in clients.kinesis.list_shards(StreamName=stream)["Shards"]:
        iterator = clients.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            page = clients.kinesis.get_records(ShardIterator=iterator)
            if not page["Records"]:
                break
            for record in page["Records"]:
                found.setdefault(record["PartitionKey"], []).append(record["Data"])
            iterator = page["NextShardIterator"]
    return found
