"""The dashboard's process over sources that are dead, hang, drip and lie: it answers, and it ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import free_port
from waiting import wait_until

PAGES = ("/", "/answers", "/popular", "/records", "/audit", "/api/v1/live")
HUGE = b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n" + b"a_metric 1\n" * 1_000


@contextmanager
def serving(drip: bytes, every_s: float) -> Iterator[int]:
    """Takes connections, reads nothing, and sends ``drip`` again and again, with a pause; nothing where it is empty."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listening:
        ended = threading.Event()

        def serve(connection: socket.socket) -> None:
            with connection:
                while not ended.wait(every_s):
                    try:
                        connection.sendall(drip)
                    except OSError:
                        return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@contextmanager
def dashboard(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    env = {"PATH": os.environ["PATH"], "DASHBOARD_PORT": str(port), "LAKE_URI": folder.as_uri(), **settings}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "dashboard"], env=env, stdout=log, stderr=log)
        try:
            wait_until("it answers", lambda: process.poll() is not None or answers(port))
            yield process, port
        finally:
            process.kill()
            process.wait(10)


def answers(port: int) -> bool:
    try:
        return asked(port, "/readyz")[0] == 200
    except OSError:
        return False


def asked(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_dead_slow_lying_and_huge_sources_delay_no_page_and_no_end(tmp_path: Path) -> None:
    with ExitStack() as stack:
        hangs = stack.enter_context(serving(b"", 60))
        drips = stack.enter_context(serving(b"HTTP/1.1 200 OK\r\nX: ", 1.0))
        huge = stack.enter_context(serving(HUGE, 0.001))
        dead = free_port()
        urls = {"PROXY": hangs, "S3_SINK": drips, "MIRROR": huge, "ANALYSER": hangs, "STREAM_READER": dead}
        urls |= {"LOCALSTACK": huge, "AIRFLOW": drips}
        settings = {f"DASHBOARD_{name}_URL": f"http://127.0.0.1:{port}" for name, port in urls.items()}
        process, port = stack.enter_context(dashboard(tmp_path, DASHBOARD_KAFKA=f"127.0.0.1:{hangs}", **settings))

        def states() -> dict[str, Any]:
            told = json.loads(asked(port, "/api/v1/live")[1])
            return {station["id"]: station["state"] for station in told["stations"]}

        down = ["proxy", "kafka", "s3-sink", "mirror", "analyser", "stream-reader", "gateway", "airflow"]
        wait_until("all are down", lambda: all(states()[name] == "down" for name in down), 30, 0.5)
        with ThreadPoolExecutor(20) as people:
            began = time.monotonic()
            # Popular asks the stream reader in the request, bounded; it is dead, which is told at once.
            told = list(people.map(lambda path: asked(port, path)[0], PAGES * 20))
        assert set(told) == {200}
        assert time.monotonic() - began < 20
        assert asked(port, "/readyz")[0] == 200
        rss = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmRSS" in line)
        assert int(rss.split()[1]) < 300 * 1024
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 12


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"DASHBOARD_PROXY_URL": "proxy:8082"}, "DASHBOARD_PROXY_URL: "),
        ({"DASHBOARD_KAFKA": "kafka"}, "DASHBOARD_KAFKA: "),
        ({"DASHBOARD_PORT": "70000"}, "DASHBOARD_PORT: "),
        ({}, "cannot be used: Address already in use"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(settings: dict[str, str], says: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        env = {"PATH": os.environ["PATH"], "DASHBOARD_PORT": str(taken.getsockname()[1]), **settings}
        command = [sys.executable, "-m", "dashboard"]
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, says in ended.stderr, "Traceback" in ended.stderr) == (2, True, False)
