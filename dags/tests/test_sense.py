"""The first step: are there new raw objects?"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from dag_files import DAGS, load

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Bucket:
    """As much of S3 as lists one bucket with one object."""

    def __init__(self) -> None:
        self.stored_at: datetime | None = NOON
        self.listed: list[str] = []
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bucket.listed.append(self.path)
                entry = ""
                if bucket.stored_at is not None:
                    date = bucket.stored_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
                    entry = f"<Contents><Key>topics/x</Key><LastModified>{date}</LastModified><Size>1</Size></Contents>"
                body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entry}</ListBucketResult>".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    one = Bucket()
    # A name, as LocalStack's in its network is: the bucket must stand in the path, and not in the host.
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{one.server.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield one
    one.server.shutdown()
    one.server.server_close()


def sense(started: datetime | None, scheduled: datetime | None = None, **params: Any) -> bool:
    """After a successful run that was scheduled and started then."""
    module, _ = load(DAGS / "batch.py")
    defaults = {name: param.value for name, param in module.PARAMS.items()}
    result = module.dag.get_task("sense").python_callable({**defaults, **params}, started, scheduled or started)
    return bool(result)


def test_the_first_run_takes_what_is_there(bucket: Bucket) -> None:
    assert sense(None)
    assert bucket.listed[0].startswith("/pinterest-raw?")
    assert "prefix=topics%2F" in bucket.listed[0]


@pytest.mark.parametrize("ago", [timedelta(seconds=-1), timedelta(0), timedelta(minutes=5)])
def test_what_came_since_the_last_success_began(bucket: Bucket, ago: timedelta) -> None:
    assert sense(NOON + ago)


def test_what_came_before_a_step_of_the_last_run_was_cleared(bucket: Bucket) -> None:
    """Its start is that of the clearing then, and what was stored between the two has been read by nobody."""
    assert sense(NOON + timedelta(hours=7), NOON - timedelta(hours=1))


def test_a_run_by_hand_for_a_later_date_began_when_it_was_started(bucket: Bucket) -> None:
    assert sense(NOON - timedelta(hours=1), NOON + timedelta(days=1))


@pytest.mark.parametrize("stored_at", [NOON, None])
def test_nothing_new_skips_the_rest(bucket: Bucket, stored_at: datetime | None) -> None:
    bucket.stored_at = stored_at
    with pytest.raises(AirflowSkipException, match="Nothing new in pinterest-raw"):
        sense(NOON + timedelta(minutes=5, seconds=1))
    assert not sense(NOON + timedelta(minutes=6), wait=True), "looked at again a minute later"


@pytest.mark.parametrize("asked", [{"always": True}, {"from": 2020}, {"ties": "first"}, {"replay": True}])
def test_who_asks_for_something_gets_it_with_nothing_new(bucket: Bucket, asked: dict[str, Any]) -> None:
    assert sense(NOON + timedelta(days=1), **asked)
    assert bucket.listed == []
