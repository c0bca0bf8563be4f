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

    def answer(self) -> None:
        status, body = self.server.answers.get(self.path, (200, None))  # type: ignore[attr-defined]
        asked = {"method": self.command, "path": self.path, "token": self.headers["Authorization"]}
        self.send_response(status)
        self.end_headers()
        self.wfile.write((body or json.dumps(asked)).encode())

    do_GET = do_POST = answer

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
    return ReaderClient(f"http://127.0.0.1:{server.server_port}", "t")


def test_filters_are_escaped(client: ReaderClient) -> None:
    asked = client.popular(5, {"age_group": "+50", "country": "Côte d'Ivoire & more"})
    assert asked["path"] == "/v1/profiles/popular?limit=5&age_group=%2B50&country=C%C3%B4te+d%27Ivoire+%26+more"


def test_resume_is_a_post_with_the_token(client: ReaderClient) -> None:
    expected = {"method": "POST", "path": "/v1/queries/pin/resume", "token": "Bearer t"}
    assert client.resume("pin") == expected


@pytest.mark.parametrize(
    ("body", "said"), [('{"error_code":409,"message":"it runs"}', "it runs"), ("<html>", "<html>"), ("[1]", r"\[1\]")]
)
def test_a_refusal_in_its_own_words(client: ReaderClient, server: HTTPServer, body: str, said: str) -> None:
    server.answers["/v1/queries/pin/resume"] = (409, body)  # type: ignore[attr-defined]
    with pytest.raises(ServiceError, match=f"POST /v1/queries/pin/resume: 409 {said}"):
        client.resume("pin")


def test_nobody_answers() -> None:
    with pytest.raises(ServiceError, match="does not answer"):
        ReaderClient("http://127.0.0.1:9", "t").latencies()
