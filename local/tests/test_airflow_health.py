import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pipeline_local import airflow_health
from service_kit import probe

WELL = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "dag_processor")}
NO_TRIGGERER = WELL | {"triggerer": {"status": None}}


class Airflow(HTTPServer):
    """Answers 200 with what it is told."""

    body = b"{}"

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == airflow_health.PATH else 404)
                self.end_headers()
                self.wfile.write(told.body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        told = self
        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    with Airflow() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (WELL, 0),
        (NO_TRIGGERER, 0),
        ({}, 1),
        (WELL | {"scheduler": {"status": "unhealthy"}}, 1),
        (WELL | {"dag_processor": {"status": None}}, 1),
    ],
)
def test_every_part_that_we_run_must_be_healthy(airflow: Airflow, states: dict[str, object], code: int) -> None:
    airflow.body = json.dumps(states).encode()
    assert probe.main([str(airflow.server_port)], airflow_health.PATH, airflow_health.is_healthy) == code
