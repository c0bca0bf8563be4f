"""The stream reader as a process, and streams to feed it, for tests on a real Kinesis."""

import atexit
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.exceptions import ClientError
from pipeline_contracts.names import KINDS, Kind, Names
from pipeline_local.lake import Lake
from pipeline_local.layout import Layout
from servers import free_port
from waiting import wait_until

DEADLINE_S = 150


class Streams:
    """The three streams of one pipeline."""

    def __init__(self, endpoint_url: str, names: Names) -> None:
        self.names = names
        self.client = boto3.client("kinesis", endpoint_url=endpoint_url, region_name="us-east-1")

    def create(self, *kinds: Kind, shards: int = 2) -> None:
        for kind in kinds or KINDS:
            self.client.create_stream(StreamName=self.names.stream(kind), ShardCount=shards)
        for kind in kinds or KINDS:
            wait_until(f"stream of {kind}", partial(self._is_active, kind))

    def delete(self, kind: Kind) -> None:
        self.client.delete_stream(StreamName=self.names.stream(kind))
        wait_until(f"no stream of {kind}", lambda: self._status(kind) is None)

    def split(self, kind: Kind, shard: int, starting_hash_key: int) -> None:
        """Split a shard in two; the second begins at the hash key."""
        name = self.names.stream(kind)
        self.client.split_shard(
            StreamName=name, ShardToSplit=f"shardId-{shard:012}", NewStartingHashKey=str(starting_hash_key)
        )
        wait_until(f"stream of {kind}", partial(self._is_active, kind))

    def merge(self, kind: Kind, shard: int, adjacent: int) -> None:
        """Make one shard of two neighbours."""
        self.client.merge_shards(
            StreamName=self.names.stream(kind),
            ShardToMerge=f"shardId-{shard:012}",
            AdjacentShardToMerge=f"shardId-{adjacent:012}",
        )
        wait_until(f"stream of {kind}", partial(self._is_active, kind))

    def put(self, kind: Kind, values: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
        """Send records (key, data); returns their coordinates."""
        left = list(values)
        places: list[tuple[str, str]] = []
        while left:
            part: list[tuple[str, bytes]] = []
            while left and len(part) < 500 and sum(len(data) for _, data in [*part, left[0]]) < 4_000_000:
                part.append(left.pop(0))
            answer = self.client.put_records(
                StreamName=self.names.stream(kind), Records=[{"PartitionKey": key, "Data": data} for key, data in part]
            )
            assert answer["FailedRecordCount"] == 0
            places += [(one["ShardId"], one["SequenceNumber"]) for one in answer["Records"]]
        return places

    def put_posts(self, posts: Iterable[Mapping[Kind, Mapping[str, Any]]]) -> None:
        rows = list(posts)
        for kind in KINDS:
            self.put(kind, [(str(_key(post[kind])), json.dumps(post[kind]).encode()) for post in rows if kind in post])

    def answer(self) -> bool:
        """Whether Kinesis is there: LocalStack is ready before its backend is."""
        try:
            self.client.list_streams()
        except ClientError:
            return False
        return True

    def _is_active(self, kind: Kind) -> bool:
        return self._status(kind) == "ACTIVE"

    def _status(self, kind: Kind) -> str | None:
        try:
            found = self.client.describe_stream_summary(StreamName=self.names.stream(kind))
        except self.client.exceptions.ResourceNotFoundException:
            return None
        return str(found["StreamDescriptionSummary"]["StreamStatus"])


class ReaderProcess:
    """One stream reader; its lake and state outlive it."""

    def __init__(self, endpoint_url: str, names: Names, folder: Path, **settings: object) -> None:
        layout = Layout.of_checkout()
        self.names, self.folder = names, folder
        self.lake, self.state, self.log = folder / "lake", folder / "state", folder / "log"
        self.port = free_port()
        self.environment = {
            **os.environ,
            "TZ": "UTC",
            "PIPELINE_ID": names.pipeline_id,
            "LAKE_URI": self.lake.as_uri(),
            "AWS_ENDPOINT_URL": endpoint_url,
            "SPARK_JARS_DIR": str(layout.spark_jars),
            "SPARK_ARCHIVE_DIR": str(layout.class_archives),
            "STREAM_READER_SHORT_LIVED": "true",
            "STREAM_READER_PORT": str(self.port),
            "STREAM_READER_STATE_DIR": str(self.state),
            "STREAM_READER_DESCRIBE_INTERVAL_S": "1",
            **{f"STREAM_READER_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.child: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)  # where a test fails in between

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "stream_reader"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def up(self) -> None:
        self.start()
        self.wait_for("ready", self.is_ready)

    def wait_for(self, what: str, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        def holds() -> object:
            assert self.child is not None
            assert self.child.poll() is None, self.log.read_text()[-4000:]
            return condition()

        try:
            wait_until(what, holds, deadline_s)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.log.read_text()[-6000:]}") from error

    def kill(self) -> None:
        """kill -9 of the process and all that it started, JVM included."""
        if self.child is None or self.child.poll() is not None:
            return
        for process in [*psutil.Process(self.child.pid).children(recursive=True), psutil.Process(self.child.pid)]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.child.wait(10)

    def stop(self) -> int:
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(60)

    def is_ready(self) -> bool:
        return self.request("/readyz")[0] == 200

    def get(self, path: str) -> Any:
        status, body = self.request(path)
        assert status == 200, body
        return json.loads(body)

    def request(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def query(self, kind: Kind) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.get("/v1/queries")["queries"] if one["kind"] == kind)
        return found

    def popular(self, **parameters: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/v1/profiles/popular?{urllib.parse.urlencode(parameters)}")["profiles"]
        return found

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table below the lake, read without Spark; none where it is not there yet."""
        return Lake(self.lake).rows(table)

    def stream_rows(self, kind: Kind) -> list[dict[str, Any]]:
        return self.rows(f"stream/{self.names.stream_table(kind)}")


def _key(row: Mapping[str, Any]) -> int:
    return int(row.get("ind", row.get("index", 0)))
