"""``python -m stream_reader.serve`` as a process, over tables on disk and in S3 that somebody else writes."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pipeline_contracts.lake import stream_table
from pipeline_contracts.names import KINDS, Kind, Names
from servers import LocalStack, free_port
from stream_reader.popularity.posts_database import FACTS
from waiting import wait_until

NAMES = Names("pop")
TYPES = {"follower_count": pa.int64(), "age": pa.int32()}


def write(lake: str, kind: Kind, options: Mapping[str, str], **row: Any) -> None:
    """One row, as the stream reader and Databricks write them."""
    place = {"log_id": "l", "partition": "s", "offset": str(row["ind"]), "content_hash": str(row)}
    names = pa.schema(
        [("ind", pa.int32()), *((name, pa.string()) for name in place), ("recorded_at", pa.timestamp("us", "UTC"))]
    )
    schema = pa.schema([*names, *((name, TYPES.get(name, pa.string())) for name in FACTS[kind])])
    rows = pa.Table.from_pylist([{**place, "recorded_at": datetime.now(UTC), **row}], schema)
    write_deltalake(f"{lake}/{stream_table(NAMES, kind)}", rows, mode="append", storage_options=dict(options))


@contextmanager
def serving(folder: Path, lake: str, **environment: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Its address, and the process."""
    port = free_port()
    given = {"POPULARITY_PORT": str(port), "POPULARITY_STATE_DIR": str(folder / "state"), "POPULARITY_EVERY_S": "0.2"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_reader.serve"],
        env={**os.environ, "PIPELINE_ID": "pop", "LAKE_URI": lake, **given, **environment},
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait(10)


def asked(url: str) -> tuple[int, Any]:
    """Status and document; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, None


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_it_follows_the_tables_and_ends_in_order(
    where: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, options, environment = (tmp_path / "lake").as_uri(), {}, {}
    if where == "s3":
        localstack: LocalStack = request.getfixturevalue("localstack")
        environment = {
            "AWS_ENDPOINT_URL": localstack.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        bucket = f"pop-{uuid.uuid4().hex[:8]}"
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=bucket)
        lake, options = f"s3://{bucket}/lake", {"AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    with serving(tmp_path, lake, **environment) as (url, process):
        wait_until("it says why it is not ready", lambda: asked(f"{url}/readyz")[0] == 503)
        write(lake, "pin", options, ind=1, poster_name="ann", title="t", category="art", follower_count=9)
        for kind in KINDS[1:]:
            write(lake, kind, options, ind=7)
        wait_until("ready", lambda: asked(f"{url}/readyz")[0] == 200)

        def popular(query: str = "") -> list[str]:
            _, document = asked(f"{url}/v1/profiles/popular{query}")
            return [profile["poster_name"] for profile in document["profiles"]]

        assert popular() == ["ann"]
        assert popular("?country=Chad") == []
        write(lake, "geo", options, ind=1, country="Chad")
        write(lake, "pin", options, ind=2, poster_name="bob", title="t", follower_count=99)
        wait_until("the new rows show", lambda: popular("?country=Chad") == ["ann"] and popular() == ["bob", "ann"])
        assert asked(f"{url}/v1/profiles?name=nobody")[0] == 404
        assert asked(f"{url}/v1/queries")[0] == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serving(tmp_path, (tmp_path / "lake").as_uri(), POPULARITY_PORT=port) as (_, process):
            assert process.wait(30) == 2


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAKE", "POPULARITY"))}
    done = subprocess.run(
        [sys.executable, "-m", "stream_reader.serve"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        ["LAKE_URI: Field required", "POPULARITY_STATE_DIR: Field required"],
    )
