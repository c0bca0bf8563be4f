"""An HTTP server in front of Kinesis that hands on every request, and spoils chosen answers of GetRecords."""

import json
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_OF_THE_HOP = {"connection", "content-length", "host", "transfer-encoding", "server", "date"}


class KinesisFront:
    """Spoiled: each answer that holds this record has no sequence numbers, so nobody can say where its records are."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self._spoiled: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def spoil(self, data: bytes) -> None:
        self._spoiled = b64encode(data).decode()

    def heal(self) -> None:
        self._spoiled = None

    def answer(self, body: bytes) -> bytes:
        """What is sent on in place of this answer of GetRecords."""
        spoiled = self._spoiled
        if spoiled is None or spoiled.encode() not in body:
            return body
        page: dict[str, Any] = json.loads(body)
        for record in page["Records"]:
            del record["SequenceNumber"]
        return json.dumps(page).encode()

    @contextmanager
    def serving(self) -> Iterator["KinesisFront"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def _handler(front: KinesisFront) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_HOP}
            headers["Host"] = urlsplit(front.endpoint_url).netloc
            asked = urllib.request.Request(front.endpoint_url + self.path, data=body, headers=headers, method="POST")
            try:
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    status, told, answered = answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as error:
                status, told, answered = error.code, error.headers, error.read()
            if self.headers.get("X-Amz-Target", "").endswith(".GetRecords"):
                answered = front.answer(answered)
            self.send_response(status)
            for name, value in told.items():
                if name.lower() not in _OF_THE_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        def log_message(self, *_: object) -> None: ...

    return Handler
