import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pipeline_local.http_client import ServiceError
from pipeline_local.reader_client import ReaderClient


class Reader(BaseHTTPRequestHandler):
    """Says back what it was asked, or refuses."""

    def do_GET(self) -> None:
        status, body = self.server.answers.get(self.path, (200, None))  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write((body or json.dumps({"path": self.path})).encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Reader)
    server.answers = {}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(server: HTTPServer) -> ReaderClient:
    return ReaderClient(f"http://127.0.0.1:{server.server_port}")


def test_filters_are_escaped(client: ReaderClient) -> None:
    asked = client.popular(5, {"age_group": "+50", "country": "Côte d'Ivoire & more"})
    assert asked["path"] == "/v1/profiles/popular?limit=5&age_group=%2B50&country=C%C3%B4te+d%27Ivoire+%26+more"


@pytest.mark.parametrize(
    ("body", "said"), [('{"error_code":400,"message":"no"}', "no"), ("<html>", "<html>"), ("[1]", r"\[1\]")]
)
def test_a_refusal_in_its_own_words(client: ReaderClient, server: HTTPServer, body: str, said: str) -> None:
    server.answers["/v1/latencies"] = (400, body)  # type: ignore[attr-defined]
    with pytest.raises(ServiceError, match=f"GET /v1/latencies: 400 {said}"):
        client.latencies()


def test_nobody_answers() -> None:
    with pytest.raises(ServiceError, match="does not answer"):
        ReaderClient("http://127.0.0.1:9").latencies()
