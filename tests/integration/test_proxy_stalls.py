"""The real server in a process of its own, over the cluster in memory."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from ingest_proxy.settings import GATEWAY_PATIENCE_S, ProxySettings
from ingest_proxy.stalls import Limits, StallWatch
from pipeline_contracts.proxy import JSON_V2
from prometheus_client import CollectorRegistry
from waiting import wait_until

THREADS = 2
IDLE_S = 1.5
STOP_S = 0.3
SLOW_KAFKA_S = 2.0
BODY = json.dumps({"records": [{"value": 1}]}).encode()
LARGE = ProxySettings().max_body_bytes + 1
HEAD = f"POST /topics/pinterest.pin HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON_V2}\r\n".encode()
PROXY = f"""
import sys, time
from ingest_proxy.app import create_app
from ingest_proxy.memory import MemoryCluster
from ingest_proxy.server import serve
from ingest_proxy.settings import ProxySettings
from ingest_proxy.stalls import Limits
from prometheus_client import REGISTRY
from service_kit.logs import configure_logging

class SlowCluster(MemoryCluster):
    def send(self, topic, *rest):
        if topic == "pinterest.geo":
            print("sending", flush=True)
            time.sleep({SLOW_KAFKA_S})
        return super().send(topic, *rest)

configure_logging("proxy")
settings = ProxySettings()
cluster = SlowCluster(settings.names, settings.max_record_bytes)
app = create_app(settings, cluster, cluster, REGISTRY)
limits = Limits(idle_s=float(sys.argv[2]), stop_s={STOP_S}, first_byte_s=1.0, connections=int(sys.argv[3]))
serve(app, "127.0.0.1", int(sys.argv[1]), {THREADS}, registry=REGISTRY, limits=limits)
print("returned", flush=True)
"""

needs_tcp_info = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a connection is silent")


class Proxy:
    def __init__(self, idle_s: float, connections: int = 1024) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROXY, str(self.port), str(idle_s), str(connections)],
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until("the proxy answers", self._answers)

    def _answers(self) -> bool:
        try:
            self.call("GET", "/readyz")
        except OSError:
            return False
        return True

    def connect(self, first: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(first)
        return connection

    def stall(self) -> socket.socket:
        """Announces a body and sends half of it."""
        return self.connect(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:5])

    def call(self, verb: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(verb, path, body, {"Content-Type": JSON_V2})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def await_cut(self, connections: int) -> None:
        """Blocks until so many are counted, which they are after the cut."""
        counted = f"proxy_connections_cut_total {connections}.0"
        wait_until(counted, lambda: counted in self.call("GET", "/metrics")[1])

    def await_line(self, wanted: str) -> None:
        """Blocks until it has printed the line."""
        assert self.process.stdout is not None
        assert wanted in (line.rstrip() for line in self.process.stdout)

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what was logged since the last line awaited."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output


@pytest.fixture
def idle_s() -> float:
    return IDLE_S


@pytest.fixture
def proxy(idle_s: float) -> Iterator[Proxy]:
    running = Proxy(idle_s)
    yield running
    running.process.kill()
    running.process.communicate()


def test_the_limit_is_longer_than_any_answer_takes() -> None:
    assert Limits().idle_s > GATEWAY_PATIENCE_S


@needs_tcp_info
def test_stalled_senders_in_all_threads_are_cut(proxy: Proxy) -> None:
    stalled = [proxy.stall() for _ in range(THREADS)]
    time.sleep(IDLE_S / 2)
    assert proxy.call("GET", "/readyz")[0] == 200
    assert all(connection.recv(1) == b"" for connection in stalled)
    proxy.await_cut(THREADS)
    code, output = proxy.stop()
    assert code == 0
    lines = [json.loads(line) for line in output.splitlines() if "stalled connection" in line]
    assert {line["peer"] for line in lines} == {"{}:{}".format(*one.getsockname()) for one in stalled}
    assert len(lines) == THREADS, "each once"
    assert all(line["level"] == "warning" and IDLE_S < line["silent_s"] < 5 * IDLE_S for line in lines)
    assert "unexpected" not in output


@needs_tcp_info
@pytest.mark.parametrize("idle_s", [3])
@pytest.mark.parametrize(
    "sent",
    [b"Content-Length: %d\r\n\r\n{" % LARGE, b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % LARGE + bytes(LARGE)],
    ids=["announced", "chunked"],
)
def test_a_sender_that_stalls_over_the_limit_is_cut_like_any_other(proxy: Proxy, sent: bytes) -> None:
    stalled = proxy.connect(HEAD + sent)
    assert stalled.recv(1) == b""
    assert proxy.call("GET", "/livez")[0] == 200
    assert proxy.stop()[0] == 0


@needs_tcp_info
def test_a_slow_sender_is_not_cut_beside_a_stalled_one(proxy: Proxy) -> None:
    stalled = proxy.stall()
    slow = proxy.connect(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY))
    for byte in BODY:
        slow.send(bytes([byte]))
        time.sleep(2.5 * IDLE_S / len(BODY))
    assert slow.recv(15).startswith(b"HTTP/1.1 200")
    assert stalled.recv(1) == b""


@needs_tcp_info
@pytest.mark.parametrize("idle_s", [SLOW_KAFKA_S + 1])
def test_a_request_that_waits_for_kafka_is_not_cut_beside_a_stalled_one(proxy: Proxy, idle_s: float) -> None:
    stalled = proxy.stall()
    time.sleep(idle_s / 2)
    assert proxy.call("POST", "/topics/pinterest.geo", BODY)[0] == 200
    assert stalled.recv(1) == b""


def test_no_connection_is_cut_while_no_body_is_awaited(proxy: Proxy) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.port)) as connection:
        for topic in ("geo", "pin"):  # the first takes longer than IDLE_S
            connection.request("POST", f"/topics/pinterest.{topic}", BODY, {"Content-Type": JSON_V2})
            assert connection.getresponse().read()
            time.sleep(1.5 * IDLE_S)


@pytest.mark.parametrize("idle_s", [30])
@pytest.mark.parametrize("sent", [HEAD + b"Content-Length: 9\r\n\r\n{", HEAD], ids=["body", "head"])
def test_sigterm_does_not_wait_for_stalled_senders(proxy: Proxy, sent: bytes) -> None:
    stalled = proxy.connect(sent)
    proxy.call("GET", "/livez")
    code, output = proxy.stop()
    assert (code, output.splitlines()[-1]) == (0, "returned")
    assert stalled.recv(1) == b""


@pytest.mark.parametrize("idle_s", [30])
def test_sigterm_answers_what_waits_for_kafka_before_it_cuts_the_stalled(proxy: Proxy) -> None:
    stalled = proxy.stall()
    answers: list[int] = []
    request = threading.Thread(target=lambda: answers.append(proxy.call("POST", "/topics/pinterest.geo", BODY)[0]))
    request.start()
    proxy.await_line("sending")
    assert proxy.stop()[0] == 0
    request.join()
    assert answers == [200]
    assert stalled.recv(1) == b""


def test_where_the_system_does_not_tell_only_the_stop_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_INFO", raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=0.1) as sender,
        listener.accept()[0],
    ):
        watch = StallWatch(listener.getsockname()[1], CollectorRegistry(), Limits())
        watch._cut(1e-9)
        with pytest.raises(TimeoutError):
            sender.recv(1)
        watch._cut(0)
        assert sender.recv(1) == b""


@needs_tcp_info
def test_connections_that_ask_for_nothing_keep_nobody_out() -> None:
    """More of them than the server serves at once; one that asks is answered within seconds."""
    proxy = Proxy(idle_s=30, connections=64)
    silent = []
    try:
        silent = [socket.create_connection(("127.0.0.1", proxy.port), timeout=20) for _ in range(100)]
        began = time.monotonic()
        assert proxy.call("POST", "/topics/pinterest.pin", BODY)[0] == 200
        assert time.monotonic() - began < 10
    finally:
        for connection in silent:
            connection.close()
        proxy.process.kill()
        proxy.process.communicate()


@needs_tcp_info
def test_a_connection_that_was_used_before_may_be_idle() -> None:
    """Only those that never sent a byte are cut in a crowd: others may wait for an answer."""
    crowded = Proxy(idle_s=30, connections=8)
    silent = []
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", crowded.port, timeout=20)) as used:
            used.request("GET", "/livez")
            used.getresponse().read()
            silent = [socket.create_connection(("127.0.0.1", crowded.port), timeout=20) for _ in range(7)]
            assert all(connection.recv(1) == b"" for connection in silent)
            used.request("GET", "/livez")
            assert used.getresponse().status == 200
    finally:
        for connection in silent:
            connection.close()
        crowded.process.kill()
        crowded.process.communicate()
