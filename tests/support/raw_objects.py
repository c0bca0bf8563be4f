"""Raw objects in a real S3, as our sink and other writers leave them."""

import gzip
import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import boto3
import urllib3
from pipeline_contracts import objects
from pipeline_contracts.names import Kind, Names
from pipeline_contracts.objects import ObjectName

START = datetime(2026, 1, 1, tzinfo=UTC)


def post(ind: int, **changes: Any) -> dict[Kind, dict[str, Any]]:
    """One post: its pin, geo and user row."""
    pin = {
        "index": ind,
        "unique_id": f"00000000-0000-0000-0000-{ind:012d}",
        "title": f"title {ind}",
        "description": "some text",
        "poster_name": f"poster {ind % 5}",
        "follower_count": f"{ind % 7}k",
        "tag_list": "a,b",
        "is_image_or_video": "image",
        "image_src": "https://example.org/a.jpg",
        "downloaded": 1,
        "save_location": "Local save in /data/art",
        "category": ("art", "travel", "finance")[ind % 3],
    }
    geo = {
        "ind": ind,
        "timestamp": f"20{18 + ind % 4}-05-01 12:00:00",
        "latitude": 1.5,
        "longitude": -2.5,
        "country": ("Albania", "Åland Islands")[ind % 2],
    }
    user = {
        "ind": ind,
        "first_name": "Ana",
        "last_name": f"N{ind}",
        "age": 18 + ind % 50,
        "date_joined": "2016-02-03 04:05:06",
    }
    rows: dict[Kind, dict[str, Any]] = {"pin": pin, "geo": geo, "user": user}
    for row in rows.values():
        row.update({name: value for name, value in changes.items() if name in row})
    return rows


class RawObjects:
    """The bucket of one pipeline."""

    def __init__(self, endpoint_url: str, pipeline_id: str) -> None:
        self.names = Names(pipeline_id)
        self.client = boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1")
        self.client.create_bucket(Bucket=self.names.bucket)

    def put(
        self,
        kind: Kind,
        values: Sequence[Any],
        first: int = 0,
        *,
        partition: int = 0,
        log_id: str = "LOG",
        in_name: bool = False,
        seconds: int | None = None,
    ) -> str:
        """An object of our sink; record ``n`` was stored ``seconds + n`` after ``START``. Returns its key."""
        topic = self.names.topic(kind)
        key = ObjectName(topic, partition, first, log_id if in_name else None).key
        since = first if seconds is None else seconds
        lines = [
            json.dumps(
                {
                    "offset": first + number,
                    "value": value,
                    "key": None,
                    "timestamp": (START + timedelta(seconds=since + number)).isoformat(timespec="milliseconds"),
                }
            )
            for number, value in enumerate(values)
        ]
        self.put_bytes(
            key,
            gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0),
            **{objects.LOG_ID: log_id, objects.FIRST_OFFSET: str(first), objects.NEXT_OFFSET: str(first + len(values))},
        )
        return key

    def put_posts(self, inds: Sequence[int], first: int = 0, **changes: Any) -> None:
        """One object per kind, with a record per post."""
        for kind in ("pin", "geo", "user"):
            self.put(kind, [post(ind, **changes)[kind] for ind in inds], first)

    def put_bytes(self, key: str, body: bytes, **metadata: str) -> None:
        """Any object."""
        self.client.put_object(Bucket=self.names.bucket, Key=key, Body=body, Metadata=metadata)

    def body(self, key: str) -> bytes:
        """An object's bytes."""
        return bytes(self.client.get_object(Bucket=self.names.bucket, Key=key)["Body"].read())


class CountingProxy:
    """Forwards to an S3 and counts the objects that are read. A context manager."""

    def __init__(self, endpoint_url: str) -> None:
        self.reads: list[str] = []
        pool = urllib3.PoolManager(retries=False)
        reads = self.reads

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if urlsplit(self.path).path.count("/") > 1:
                    reads.append(self.path)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = pool.request("GET", endpoint_url + self.path, headers=headers, decode_content=False)
                self.send_response(answer.status)
                skipped = {"transfer-encoding", "connection", "content-length", "date", "server"}
                for name, value in answer.headers.items():
                    if name.lower() not in skipped:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.data)))
                self.end_headers()
                self.wfile.write(answer.data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
