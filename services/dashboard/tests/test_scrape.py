"""Looks at sources that are dead, slow, lying or huge: each ends in time, with one line on why."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from dashboard.live import scrape
from dashboard.live.looks import Look, NoAnswerError
from dashboard.live.numbers import LOCALSTACK, PROXY
from dashboard.live.scrape import Airflow, Kafka, LocalStack, Service

READY = b'{"check":"kafka","ok":true,"detail":"fine"}\n{"check":"disk","ok":false,"detail":"no  space\\nleft"}\n'


@contextmanager
def serving(*answers: bytes, drip_s: float = 0.0) -> Iterator[int]:
    """A server that sends these bytes, one after the other, to each connection; then it closes it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        ended = threading.Event()

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    pieces = [answer] if not drip_s else [answer[at : at + 1] for at in range(len(answer))]
                    for piece in pieces:
                        if drip_s and ended.wait(drip_s):
                            return
                        try:
                            connection.sendall(piece)
                        except OSError:
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def service(port: int) -> Service:
    return Service(f"http://127.0.0.1:{port}", PROXY)


def test_checks_and_numbers() -> None:
    with serving(http(READY, "503 Service Unavailable"), http(b'proxy_records_stored_total{topic="a"} 7\n')) as port:
        look = service(port).look()
    assert [(check.name, check.ok, check.detail) for check in look.checks] == [
        ("kafka", True, "fine"),
        ("disk", False, "no space left"),
    ]
    assert look.numbers == {"records": 7}


@pytest.mark.parametrize(
    "metrics", [http(b"<html>"), http(b"", "404 Not Found"), b"", http(b"a 1\n" * 300_000), b"\xff"]
)
def test_numbers_that_cannot_be_read_make_no_service_less_ready(metrics: bytes) -> None:
    with serving(http(READY), metrics) as port:
        look = service(port).look()
    assert look.numbers is None
    assert look.why
    assert len(look.checks) == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "broke the connection off"),
        (b"\x00\xff" * 50, "broke the connection off"),
        (http(b"ok", "200 OK"), "not a check"),
        (http(b"[1]\n"), "not a check"),
        (http(b"[" * 50_000), "not a check"),
        (http(b"", "302 Found\r\nLocation: http://127.0.0.1:1/"), "answers 302"),
        (http(b"x" * 100_000), "longer than"),
        (http(READY, length=10_000), "broke the connection off"),
    ],
)
def test_lies_are_no_answer(answer: bytes, why: str) -> None:
    with serving(answer) as port, pytest.raises(NoAnswerError, match=why):
        service(port).look()


def test_nobody_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    for source in (service(port), Kafka("127.0.0.1", port), LocalStack(f"http://127.0.0.1:{port}", LOCALSTACK)):
        with pytest.raises(NoAnswerError, match="nothing answers at") as raised:
            source.look()
        assert raised.value.gone


def test_a_body_that_drips_and_a_server_that_hangs_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "READY_S", 0.4)
    with serving(http(READY), drip_s=0.01) as port:
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"within 0.4 s"):
            service(port).look()
        assert time.monotonic() - began < 2
    with closing(socket.create_server(("127.0.0.1", 0))) as hanging:
        port = hanging.getsockname()[1]
        for source in (service(port), Kafka("127.0.0.1", port), Airflow(f"http://127.0.0.1:{port}")):
            with pytest.raises(NoAnswerError, match="no answer within"):
                source.look()


@pytest.mark.parametrize("dripping", [b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400, b"HTTP/1.1 100 Continue\r\n\r\n" * 20])
def test_headers_that_drip_end_in_time(dripping: bytes) -> None:
    with serving(dripping, drip_s=0.02) as port:
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"no answer within 0.3 s"):
            scrape.ask(f"http://127.0.0.1:{port}/", 0.3, 1_000)
        assert time.monotonic() - began < 3


def test_parts_of_localstack_and_airflow() -> None:
    services = http(b'{"services":{"s3":"running","kinesis":"error","apigateway":"available"}}')
    counted = http(b'localstack_kinesis_records_total{stream="a"} 3\nlocalstack_kinesis_records_total{stream="b"} 4\n')
    with serving(services, counted) as port:
        look = LocalStack(f"http://127.0.0.1:{port}", LOCALSTACK).look()
    assert look.numbers == {"streamed": 7}
    assert (look.failing("s3"), look.failing("apigateway")) == (None, None)
    assert look.failing("kinesis") is not None
    healthy = b'{"metadatabase":{"status":"healthy"},"scheduler":{"status":"unhealthy"},"dag_processor":3}'
    with serving(http(healthy)) as port:
        look = Airflow(f"http://127.0.0.1:{port}").look()
    assert [check.ok for check in look.checks] == [True, False, False]


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"services":[]}', b"nonsense", b"[" * 60_000, b"\xff\xfe"])
def test_health_pages_that_are_none(body: bytes) -> None:
    with serving(http(body)) as port, pytest.raises(NoAnswerError):
        LocalStack(f"http://127.0.0.1:{port}", LOCALSTACK).look()


def test_kafka_answers() -> None:
    with serving(b"\x00\x00\x00\x04abcd") as port:
        look: Look = Kafka("127.0.0.1", port).look()
    assert look.failing() is None
    with serving(b"") as port, pytest.raises(NoAnswerError):
        Kafka("127.0.0.1", port).look()
