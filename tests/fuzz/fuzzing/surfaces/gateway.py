"""The gateway's routes through LocalStack's door, and what lies beside them on that port."""

import random
from typing import Any
from urllib.parse import urlsplit

from pipeline_contracts.names import KINDS

from fuzzing import odd
from fuzzing.place import Place
from fuzzing.request import Request
from fuzzing.web import Target, WebSurface, told

JSON = ("Content-Type", "application/json")


def surface(place: Place) -> WebSurface:
    """With the sender's key on all routes, and the admin key on streams of the fuzzer's own alone."""
    base = urlsplit(place.gateway_url).path
    key, admin = ("x-api-key", place.gateway_key), ("x-api-key", place.admin_key)
    seeds: list[Any] = [(Request("GET", f"{base}/streams", (key,)), None)]
    for kind in KINDS:
        stream = f"{base}/streams/{place.names.stream(kind)}"
        seeds += [
            (Request("GET", stream, (key,)), None),
            (Request("PUT", f"{stream}/record", (key, JSON)), record),
            (Request("PUT", f"{stream}/records", (key, JSON)), records),
            (
                Request(
                    "POST",
                    f"{base}/topics/{place.names.topic(kind)}",
                    (key, ("Content-Type", "application/vnd.kafka.json.v2+json")),
                ),
                produced,
            ),
        ]
    for name in ("fuzz-a", "fuzz-b", "fuzz_c.d"):
        stream = f"{base}/streams/{name}"
        seeds += [
            (Request("POST", stream, (admin, JSON)), shards),
            (Request("DELETE", stream, (admin,)), None),
            (Request("GET", stream, (admin,)), None),
        ]
    seeds += [
        (Request(method, path), None)
        for method in ("GET", "POST")
        for path in (
            "/_localstack/health",
            f"/{place.names.bucket}",
            "/",
            "/?Action=ListStacks",
            "/_aws/execute-api/a/b/c",
        )
    ]
    target = Target(place.localstack_url, told, place.secrets, below=base)
    return WebSurface(target, seeds)


def record(chance: random.Random) -> dict[str, Any]:
    """The body of one record."""
    return {"StreamName": "x", "Data": odd.row(chance)[1], "PartitionKey": str(chance.randrange(50))}


def records(chance: random.Random) -> dict[str, Any]:
    """The body of up to five."""
    rows = [odd.row(chance)[1] for _ in range(chance.randrange(1, 6))]
    return {"records": [{"data": row, "partition-key": str(at)} for at, row in enumerate(rows)]}


def produced(chance: random.Random) -> dict[str, Any]:
    """The body of a produce request."""
    row = odd.row(chance)[1]
    return {"records": [{"key": str(chance.randrange(50)), "value": row}]}


def shards(chance: random.Random) -> dict[str, Any]:
    """The body that makes a stream."""
    return {"ShardCount": chance.choice((1, 2, 0, -1, 2**40))}
