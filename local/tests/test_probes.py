"""Looks at services: small servers that answer, say that they are not ready, hang, or are somebody else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pipeline_local.supervision import probes
from pipeline_local.supervision.lifecycle import Health
from pipeline_local.topology import Service

NOT_READY = b'{"check": "kafka", "ok": true}\n{"check": "s3", "ok": false, "detail": "no \\u001b bucket"}\n'


def look(name: str, port: int) -> Health:
    return probes.probe(Service(name, {}, port, "P", (), is_job=False))()


@contextmanager
def server(answers: dict[str, tuple[int, bytes]]) -> Iterator[int]:
    """What is not in ``answers`` is not answered at all: the connection is closed."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in answers:
                status, body = answers[self.path]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served.server_port
        served.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("service", "answers", "health"),
    [
        ("proxy", {"/readyz": (200, b"")}, probes.READY),
        ("proxy", {"/readyz": (503, NOT_READY)}, Health(True, False, "s3: no \\x1b bucket")),
        ("proxy", {"/readyz": (503, b"[1]\n<html>")}, Health(True, False, None)),
        ("proxy", {"/livez": (200, b"")}, Health(True, False, "it does not say whether it is ready")),
        ("proxy", {}, probes.SILENT),
        ("localstack", {"/_localstack/health": (200, b"{}")}, probes.READY),
        ("localstack", {"/livez": (200, b"")}, probes.SILENT),
        ("airflow", {"/api/v2/monitor/health": (200, b"<html>")},
         Health(True, False, "what answers on its port is not Airflow")),
        ("airflow", {"/api/v2/monitor/health": (200, b"[]")},
         Health(True, False, "what answers on its port is not Airflow")),
        ("airflow", {"/api/v2/monitor/health": (200, b'{"metadatabase": {}}')},
         Health(True, False, '{"metadatabase": {}}')),
    ],
)  # fmt: skip
def test_what_a_look_finds(service: str, answers: dict[str, tuple[int, bytes]], health: Health) -> None:
    with server(answers) as port:
        assert look(service, port) == health


def test_a_broker_that_hangs_takes_connections_and_does_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        assert look("kafka", hangs.getsockname()[1]) == probes.SILENT
